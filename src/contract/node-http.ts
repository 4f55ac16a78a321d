/** What the contract uses of `node:http`, read so that a thread pays for that alone. */
import type http from 'node:http'

let builtIn: typeof http | null = null

/**
 * At its first use: most threads need it for the reason phrases of rare answers alone. An import would read
 * every export, `WebSocket` too: 20 ms, for a client that nobody uses.
 */
export function nodeHttp(): typeof http {
  builtIn ??= process.getBuiltinModule('node:http')
  return builtIn
}

/** The reason phrase of a status (RFC 9110 §15.1); empty when it has none. */
export function reasonPhrase(status: number): string {
  return nodeHttp().STATUS_CODES[status] ?? ''
}
