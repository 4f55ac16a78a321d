/** Who is told in the stories: the notifications of a gateway to one mail server. */
import type { MailServer } from '../support/mail-server.ts'

export function told({ port }: MailServer): Record<string, unknown> {
  return {
    email: {
      smtp: { host: '127.0.0.1', port, tls: 'none' },
      from: 'gateway@example.com',
      recipients: ['ops@example.com'],
    },
  }
}
