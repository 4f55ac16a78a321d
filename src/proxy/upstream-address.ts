/** Where an upstream is, and how a connection to it is opened: TCP, a Unix socket, TLS. */
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls'

/** What is presented to an https upstream, and what is asked of it; contents of files, not their paths. */
export interface UpstreamTls {
  readonly ca?: Buffer | undefined
  readonly cert?: Buffer | undefined
  readonly key?: Buffer | undefined
  readonly verify: boolean
  readonly serverName?: string | undefined
}

const TCP = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 } as const

export class UpstreamAddress {
  /** For people: never holds userinfo. */
  readonly name: string
  /** What the upstream calls itself in Host. */
  readonly authority: string
  readonly readyEvent: 'connect' | 'secureConnect'
  readonly #place: { readonly host: string; readonly port: number } | { readonly path: string }
  readonly #tls: ConnectionOptions | null
  /** RFC 8446 §2.2: the last one, so that the next connection needs no full handshake. */
  #session: Buffer | undefined

  constructor(url: string, tls: UpstreamTls | null) {
    if (url.startsWith('unix:')) {
      this.name = url
      this.authority = 'localhost'
      this.#place = { path: url.slice(5) }
      this.#tls = null
    } else {
      const { origin, host, hostname, port, protocol } = new URL(url)
      const plainHost = hostname.replace(/^\[(.*)\]$/, '$1')
      const secure = protocol === 'https:'
      this.name = origin
      this.authority = host
      this.#place = { host: plainHost, port: Number(port || (secure ? 443 : 80)) }
      this.#tls = secure ? tlsOptions(tls, plainHost) : null
    }
    this.readyEvent = this.#tls === null ? 'connect' : 'secureConnect'
  }

  connect(onread: OnReadOpts): Socket {
    if (this.#tls === null) return connect({ ...this.#place, ...TCP, onread })
    const options = { ...this.#tls, ...this.#place, ...TCP, onread, session: this.#session }
    const socket: TLSSocket = connectTls(options)
    return socket.on('session', (session) => {
      this.#session = session
    })
  }
}

function tlsOptions(tls: UpstreamTls | null, host: string): ConnectionOptions {
  return {
    secureContext: createSecureContext({ ca: tls?.ca, cert: tls?.cert, key: tls?.key }),
    rejectUnauthorized: tls?.verify ?? true,
    // RFC 6066 §3: the server name is never an address.
    servername: tls?.serverName ?? (isIP(host) === 0 ? host : ''),
    ALPNProtocols: ['http/1.1'],
  }
}
