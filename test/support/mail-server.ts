/** A real mail server in the process of the test: STARTTLS, sign-in, and refusals that a test switches on. */
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerAddress, type SMTPServerSession } from 'smtp-server'
import type { Certificate } from './certificates.ts'
import { onEnd } from './cleanup.ts'
import { until } from './wait.ts'

export interface Mail {
  /** Addresses of the envelope. */
  readonly to: readonly string[]
  readonly from: string
  readonly secure: boolean
  readonly user: string | null
  readonly raw: string
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  readonly html: string
}

/** What to refuse, with an SMTP status. */
export interface Refusal {
  readonly at: 'recipient' | 'data'
  readonly status: number
  readonly message: string
  /** Only this recipient. */
  readonly recipient?: string
}

export interface MailServerOptions {
  readonly certificate?: Certificate
  readonly user?: string
  readonly password?: string
}

export class MailServer {
  readonly mails: Mail[] = []
  refusal: Refusal | null = null
  password: string | undefined
  /** Signed-in or not: conversations begun. */
  connections = 0
  /** While it is pending, what has arrived is not answered. */
  #answers: Promise<void> = Promise.resolve()
  readonly #options: MailServerOptions
  #server: SMTPServer | null = null
  #port = 0

  constructor(options: MailServerOptions) {
    this.#options = options
    this.password = options.password
  }

  get port(): number {
    return this.#port
  }

  /** On the port of before, if there was one. */
  async start(): Promise<void> {
    const { certificate, user } = this.#options
    const server = new SMTPServer({
      ...(certificate === undefined
        ? { disabledCommands: user === undefined ? ['STARTTLS', 'AUTH'] : ['STARTTLS'] }
        : { key: certificate.key, cert: certificate.cert }),
      authOptional: user === undefined,
      allowInsecureAuth: certificate === undefined,
      onConnect: (_session, done) => {
        this.connections += 1
        done()
      },
      onAuth: ({ username, password }, _session, done) => {
        if (username === user && password === this.password) done(null, { user })
        // As careless servers do, it quotes what it was given.
        else done(refused(535, `no user ${username} with password ${password}`))
      },
      onRcptTo: ({ address }, _session, done) => done(this.#refuses('recipient', address)),
      onData: (stream, session, done) => {
        const chunks: Buffer[] = []
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.on('end', () => {
          const problem = this.#refuses('data')
          if (problem === null) this.mails.push(mailOf(Buffer.concat(chunks).toString(), session))
          void this.#answers.then(() => done(problem))
        })
      },
    })
    // Clients that end abruptly are no failure of the server.
    server.on('error', () => {})
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (server.server.address() as AddressInfo).port
    this.#server = server
  }

  #refuses(at: Refusal['at'], recipient?: string): Error | null {
    const { refusal } = this
    if (refusal?.at !== at) return null
    if (refusal.recipient !== undefined && refusal.recipient !== recipient) return null
    return refused(refusal.status, refusal.message)
  }

  /** Answers no mail until it is told to. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#answers = promise
    return resolve
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server !== null) await new Promise<void>((resolve) => server.close(resolve))
  }

  /** Waits for so many mails in all, and fails with more. */
  async mailsCome(count: number, within_ms = 15_000): Promise<readonly Mail[]> {
    await until(() => this.mails.length >= count, { what: `${count} mails`, within_ms })
    if (this.mails.length === count) return this.mails
    throw new Error(`must be ${count} mails, got ${this.subjects().join(' · ')}`)
  }

  subjects(): string[] {
    return this.mails.map(({ headers }) => headers.get('subject') ?? '')
  }
}

export async function startMailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const server = new MailServer(options)
  await server.start()
  onEnd(() => server.stop())
  return server
}

function refused(status: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode: status })
}

function mailOf(raw: string, session: SMTPServerSession): Mail {
  const { headers, body } = partOf(raw)
  const boundary = /boundary="([^"]+)"/.exec(headers.get('content-type') ?? '')?.[1] ?? ''
  const parts = body
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part) => partOf(part.trimStart()))
  const of = (type: string) => parts.find((part) => part.headers.get('content-type')?.startsWith(type))
  const { mailFrom, rcptTo } = session.envelope
  return {
    to: rcptTo.map(({ address }) => address),
    from: mailFrom === false ? '' : (mailFrom as SMTPServerAddress).address,
    secure: session.secure,
    user: session.user ?? null,
    raw,
    headers,
    text: decoded(of('text/plain')),
    html: decoded(of('text/html')),
  }
}

interface Part {
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** RFC 5322 §2.2.3: folded lines belong to the one before. */
function partOf(text: string): Part {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const lines = head.replaceAll(/\r\n[ \t]+/g, ' ').split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const at = line.indexOf(':')
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
  })
  return { headers: new Map(headers), body: rest.join('\r\n\r\n') }
}

/** RFC 2045 §6.7, §6.8. */
function decoded(part: Part | undefined): string {
  if (part === undefined) return ''
  const encoding = part.headers.get('content-transfer-encoding')
  if (encoding === 'base64') return Buffer.from(part.body, 'base64').toString()
  if (encoding !== 'quoted-printable') return part.body.replaceAll('\r\n', '\n')
  const bytes = part.body
    .replaceAll('=\r\n', '')
    .replaceAll(/=([0-9A-F]{2})/g, (_whole, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString().replaceAll('\r\n', '\n')
}
