/** The request head that is written to an upstream. */
import { lineEnd } from './headers.ts'

const HOST_CHARS = 'host: '.length

export interface ForwardRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** Field lines as they go out, but for Host and Expect. */
  readonly lines: string
  /** Where the line of Host stands among them; -1 = the client sent none. */
  readonly hostAt: number
  /** Whether the upstream is told its own name instead. */
  readonly ownHost: boolean
  /** Where the line of Expect stands among them; -1 = nowhere. */
  readonly expectAt: number
  readonly hasBody: boolean
  /** The body comes in chunks, and goes on in chunks. */
  readonly chunked: boolean
  /** Value of Trailer, for chunks; empty = none. */
  readonly trailer: string
}

/** The lines with another host in the line of Host that stands at `at`. */
export function withHost(lines: string, at: number, host: string): string {
  return lines.slice(0, at + HOST_CHARS) + host + lines.slice(lineEnd(lines, at) - 2)
}

/** Field lines as this upstream gets them. Host after Expect: what stands behind a cut has moved. */
function linesFor(request: ForwardRequest, authority: string, old: boolean): string {
  const { expectAt, ownHost } = request
  let { lines, hostAt } = request
  if (old && expectAt !== -1) {
    const end = lineEnd(lines, expectAt)
    lines = lines.slice(0, expectAt) + lines.slice(end)
    if (hostAt > expectAt) hostAt -= end - expectAt
  }
  // RFC 9112 §3.2: always one, whatever an HTTP/1.0 client left out.
  if (hostAt === -1) return `host: ${authority}\r\n${lines}`
  return ownHost ? withHost(lines, hostAt, authority) : lines
}

/** The whole head. `authority` names the upstream itself; `old`: it speaks HTTP/1.0 and knows no Expect. */
export function requestHead(request: ForwardRequest, authority: string, old: boolean): string {
  const head = `${request.method} ${request.path} HTTP/1.1\r\n${linesFor(request, authority, old)}`
  if (!request.chunked) return `${head}connection: keep-alive\r\n\r\n`
  const trailer = request.trailer === '' ? '' : `trailer: ${request.trailer}\r\n`
  return `${head}${trailer}transfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n`
}
