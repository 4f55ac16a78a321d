/** Who is told in the stories: the notifications of a gateway to one mail server. */
import type { TestGateway } from '../support/gateway.ts'
import { incidentsOf } from '../support/incidents.ts'
import type { MailServer } from '../support/mail-server.ts'
import { until } from '../support/wait.ts'

export function told({ port }: MailServer): Record<string, unknown> {
  return {
    email: {
      smtp: { host: '127.0.0.1', port, tls: 'none' },
      from: 'gateway@example.com',
      recipients: ['ops@example.com'],
    },
  }
}

/** Until it is noted on the disk, a kill makes a mail come twice: SMTP has nothing better. */
export async function mailIsNoted(gateway: TestGateway): Promise<void> {
  await until(async () => (await incidentsOf(gateway, 'state=open'))[0]?.notices[0]?.state === 'sent', {
    what: 'the mail is known to be sent',
  })
}
