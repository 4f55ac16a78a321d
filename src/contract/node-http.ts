/** What the contract uses of `node:http`, read so that a thread pays for that alone. */
import type http from 'node:http'

/** An import reads every export, `WebSocket` too: 20 ms in each thread, for a client that nobody uses. */
export const nodeHttp: typeof http = process.getBuiltinModule('node:http')

/** The reason phrase of a status (RFC 9110 §15.1); empty when it has none. */
export function reasonPhrase(status: number): string {
  return nodeHttp.STATUS_CODES[status] ?? ''
}
