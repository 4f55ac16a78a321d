/** The request head that is written to an upstream. */

export interface ForwardRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** Flat: name, value, name, value; as they go out, but for Host and Expect. */
  readonly fields: readonly string[]
  /** Where the value of Host stands in `fields`; -1 = the client sent none. */
  readonly hostAt: number
  /** Whether the upstream is told its own name instead. */
  readonly ownHost: boolean
  /** Where the name of Expect stands in `fields`; -1 = nowhere. */
  readonly expectAt: number
  readonly hasBody: boolean
  /** The body comes in chunks, and goes on in chunks. */
  readonly chunked: boolean
  /** Value of Trailer, for chunks; empty = none. */
  readonly trailer: string
}

/** The whole head. `authority` names the upstream itself; `old`: it speaks HTTP/1.0 and knows no Expect. */
export function requestHead(request: ForwardRequest, authority: string, old: boolean): string {
  const { fields, hostAt, ownHost } = request
  let head = `${request.method} ${request.path} HTTP/1.1\r\n`
  // RFC 9112 §3.2: always one, whatever an HTTP/1.0 client left out.
  if (hostAt === -1) head += `host: ${authority}\r\n`
  for (let i = 0; i < fields.length; i += 2) {
    if (old && i === request.expectAt) continue
    const value = ownHost && i + 1 === hostAt ? authority : (fields[i + 1] as string)
    head += `${fields[i] as string}: ${value}\r\n`
  }
  if (!request.chunked) return `${head}connection: keep-alive\r\n\r\n`
  if (request.trailer !== '') head += `trailer: ${request.trailer}\r\n`
  return `${head}transfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n`
}
