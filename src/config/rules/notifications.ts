/** Rules about notifications: somebody is told, and credentials stay between us and the mail server. */
import type { Draft } from '../draft.ts'
import type { NotificationsSection } from '../schema-notifications.ts'
import { checkHeaders, checkReadable, checkTls } from './connections.ts'

const at = '/notifications'
const smtpAt = `${at}/email/smtp`

export async function checkNotifications(draft: Draft): Promise<void> {
  if (!draft.usable(at)) return
  const { email, webhook, retry } = draft.file.notifications ?? {}
  if (email !== undefined && draft.usable(`${at}/email`)) {
    recipients(draft, email)
    if (draft.sound(smtpAt)) await smtp(draft, email.smtp)
  }
  if (webhook !== undefined && draft.usable(`${at}/webhook`)) {
    const entry = { value: webhook, pointer: `${at}/webhook` }
    if (draft.usable(`${at}/webhook/headers`)) checkHeaders(draft, entry)
    if (draft.sound(`${at}/webhook/tls`)) await checkTls(draft, webhook.tls, `${at}/webhook/tls`)
  }
  if (retry === undefined || !draft.sound(`${at}/retry`)) return
  const { min_wait_ms: min, max_wait_ms: max } = retry
  if (max < min) draft.problem(`${at}/retry/max_wait_ms`, `must be at least min_wait_ms, ${min}, got ${max}`)
}

type Email = NonNullable<NotificationsSection['email']>

function recipients(draft: Draft, { recipients: all, recipients_by_environment: by }: Email): void {
  const place = `${at}/email/recipients`
  if (!draft.sound(place, `${place}_by_environment`, '/environment')) return
  const { environment } = draft.file
  if ((by[environment] ?? all).length > 0) return
  draft.problem(place, `must have at least 1 address for the environment ${environment}, got none`)
}

/** Addresses of this machine: what is said to them stays here. */
const loopback = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/i

async function smtp(draft: Draft, options: Email['smtp']): Promise<void> {
  const { host, tls, username, password, verify, ca_file } = options
  for (const [key, value, other, beside] of [
    ['username', username, 'password', password],
    ['password', password, 'username', username],
  ] as const) {
    if (value !== undefined && beside === undefined)
      draft.problem(`${smtpAt}/${key}`, `must stand together with ${other}`)
  }
  const passwordAt = `${smtpAt}/password`
  if (password !== undefined && draft.isClear(passwordAt))
    draft.warn(passwordAt, 'holds a credential in clear text, use ${env:NAME}')
  if (password !== undefined && tls === 'none' && !loopback.test(host))
    draft.warn(`${smtpAt}/tls`, 'the password crosses the network unencrypted, use starttls or tls')
  if (!verify && tls !== 'none')
    draft.warn(`${smtpAt}/verify`, 'certificates are not verified: for tests only')
  if (ca_file !== undefined) await checkReadable(draft, `${smtpAt}/ca_file`, ca_file)
}
