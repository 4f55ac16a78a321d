/** The mail channel: one SMTP conversation per message, by nodemailer, which is loaded with the first one. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Config } from '../config/schema.ts'
import type { PendingNotice } from '../contract/incidents.ts'
import type { SecretSource } from '../secrets/secrets.ts'
import type { Logger } from '../telemetry/log.ts'
import { ChannelCredentials, type Filled } from './credentials.ts'
import { digestMessage, incidentMessage, type Message } from './messages.ts'
import { type Channel, ChannelError } from './outbox.ts'

export type EmailConfig = NonNullable<Config['notifications']['email']>

export interface MailSettings {
  readonly email: EmailConfig
  readonly environment: Config['environment']
  /** Pointers of texts that refer to secrets, under `/email/smtp`. */
  readonly templates: ReadonlySet<string>
}

export interface MailParts {
  readonly settings: () => MailSettings
  readonly secrets: SecretSource
  readonly log: Logger
}

const ports = { none: 25, starttls: 587, tls: 465 } as const
/** Of nodemailer's codes, those about one message; all others are about the server or the way to it. */
const codesOfMessages = new Set(['EENVELOPE', 'EMESSAGE', 'EMAXRECIPIENTS', 'ESTREAM'])

export class MailChannel implements Channel {
  readonly #parts: MailParts
  readonly #credentials: ChannelCredentials

  constructor(parts: MailParts) {
    this.#parts = parts
    this.#credentials = new ChannelCredentials(parts.secrets)
  }

  get perHourMax(): number {
    return this.#parts.settings().email.digest_after_per_hour
  }

  async send(notices: readonly PendingNotice[]): Promise<void> {
    const [first] = notices
    if (first === undefined) return
    await this.sendMessage(notices.length === 1 ? incidentMessage(first) : digestMessage(notices))
  }

  async sendMessage(message: Message): Promise<void> {
    const { settings } = this.#parts
    const { email, templates } = settings()
    const { username, password } = email.smtp
    if (username === undefined || password === undefined) {
      await this.#deliver(message, { texts: {}, secrets: [] })
      return
    }
    const texts = { username, password }
    const filled = await this.#credentials.fill(texts, templates)
    try {
      await this.#deliver(message, filled)
    } catch (error) {
      if (!(error instanceof RefusedSignIn) || templates.size === 0) throw error
      const fresh = await this.#credentials.again(texts, templates)
      // Asked with the very same a moment ago.
      if (JSON.stringify(fresh.texts) === JSON.stringify(filled.texts)) throw error
      await this.#deliver(message, fresh)
    }
  }

  async #deliver(message: Message, filled: Filled): Promise<void> {
    const { settings, log } = this.#parts
    const { email, environment } = settings()
    const { createTransport } = await import('nodemailer')
    const transport = createTransport(transportOptions(email.smtp, filled))
    const to = [...(email.recipients_by_environment[environment] ?? email.recipients)]
    try {
      const { rejected } = await transport.sendMail({
        from: { name: 'mirrorgate', address: email.from },
        to,
        subject: message.subject,
        text: message.text,
        html: message.html,
        messageId: `<${message.id}@${domainOf(email.from)}>`,
        ...(message.inReplyTo !== null && {
          inReplyTo: `<${message.inReplyTo}@${domainOf(email.from)}>`,
          references: `<${message.inReplyTo}@${domainOf(email.from)}>`,
        }),
        // RFC 3834 §5: so that nobody's absence is answered to a machine.
        headers: { 'Auto-Submitted': 'auto-generated', ...message.headers },
        disableFileAccess: true,
        disableUrlAccess: true,
      })
      if (rejected.length > 0) log.warn({ recipients: rejected }, 'the mail server refused some recipients')
    } catch (error) {
      throw mailError(error, email.smtp, filled)
    } finally {
      transport.close()
    }
  }
}

/** The server does not take the name and password. */
class RefusedSignIn extends ChannelError {}

function transportOptions(smtp: EmailConfig['smtp'], { texts }: Filled) {
  const { host, port, tls, verify, ca_file, server_name, timeout_ms } = smtp
  const { username, password } = texts
  const serverName = server_name ?? (isIP(host) === 0 ? host : undefined)
  return {
    host,
    port: port ?? ports[tls],
    secure: tls === 'tls',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    ...(username !== undefined && { auth: { user: username, pass: password ?? '' } }),
    connectionTimeout: timeout_ms,
    greetingTimeout: timeout_ms,
    socketTimeout: timeout_ms,
    dnsTimeout: timeout_ms,
    tls: {
      rejectUnauthorized: verify,
      ...(ca_file !== undefined && { ca: readCertificates(ca_file) }),
      // RFC 6066 §3: the server name is never an address.
      ...(serverName !== undefined && { servername: serverName }),
    },
  }
}

function readCertificates(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new ChannelError('channel', `reading smtp.ca_file: ${code}`)
  }
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1)
}

function mailError(error: unknown, smtp: EmailConfig['smtp'], { texts, secrets }: Filled): ChannelError {
  if (error instanceof ChannelError) return error
  const { code = 'unknown error', message } = error as { code?: string; message: string }
  const hidden = [...Object.values(texts), ...secrets].filter((text) => text.length > 0)
  // A server may quote what it was sent, also as SASL encodes it (RFC 4954 §4, RFC 4616).
  const encoded = hidden.map((text) => Buffer.from(text).toString('base64'))
  const plain = Buffer.from(`\0${texts['username'] ?? ''}\0${texts['password'] ?? ''}`).toString('base64')
  const said = [...hidden, ...encoded, plain]
    .sort((a, b) => b.length - a.length)
    .reduce((text, secret) => text.replaceAll(secret, '***'), message)
  const port = smtp.port ?? ports[smtp.tls]
  const sentence = `mail server ${smtp.host}:${port}: ${code}: ${said}`
  if (code === 'EAUTH') return new RefusedSignIn('channel', sentence)
  return new ChannelError(codesOfMessages.has(code) ? 'message' : 'channel', sentence)
}
