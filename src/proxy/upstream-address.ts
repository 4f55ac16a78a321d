/** Where an upstream is, and how a connection to it is opened: TCP, a Unix socket, TLS. */
import { connect, isIP, type OnReadOpts, Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { UpstreamTls } from './upstream-tls.ts'

const TCP = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 } as const

export class UpstreamAddress {
  /** For people: never holds userinfo. */
  readonly name: string
  /** What the upstream calls itself in Host. */
  readonly authority: string
  /** Over TLS. */
  readonly secure: boolean
  readonly #place: { readonly host: string; readonly port: number } | { readonly path: string }
  readonly #tls: ConnectionOptions | Error | null
  /** RFC 8446 §2.2: the last one, so that the next connection needs no full handshake. */
  #session: Buffer | undefined

  /** `tls` for https, and for https alone. */
  constructor(url: string, tls: UpstreamTls | null) {
    this.secure = url.startsWith('https:')
    if (url.startsWith('unix:')) {
      this.name = url
      this.authority = 'localhost'
      this.#place = { path: url.slice(5) }
      this.#tls = null
    } else {
      const { origin, host, hostname, port } = new URL(url)
      const plainHost = hostname.replace(/^\[(.*)\]$/, '$1')
      this.name = origin
      this.authority = host
      this.#place = { host: plainHost, port: Number(port || (this.secure ? 443 : 80)) }
      this.#tls = tls === null ? null : tlsOptions(tls, plainHost)
    }
  }

  connect(onread: OnReadOpts): Socket {
    if (this.#tls === null) return connect({ ...this.#place, ...TCP, onread })
    if (this.#tls instanceof Error) return new Socket().destroy(this.#tls)
    const options = { ...this.#tls, ...this.#place, ...TCP, onread, session: this.#session }
    return connectTls(options).on('session', (session) => {
      this.#session = session
    })
  }
}

function tlsOptions({ context, verify, serverName }: UpstreamTls, host: string): ConnectionOptions | Error {
  if (context instanceof Error) return context
  return {
    secureContext: context,
    rejectUnauthorized: verify,
    // RFC 6066 §3: the server name is never an address.
    servername: serverName ?? (isIP(host) === 0 ? host : ''),
    ALPNProtocols: ['http/1.1'],
  }
}
