/** What is written to an upstream: the request head, the pieces of its body in the framing it came in. */
import type { Socket } from 'node:net'
import { trailerPairs } from './headers.ts'

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

/** Above this copying a piece into a string costs more than a gather of several pieces. */
const JOINED_BYTES_MAX = 4096

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

/** Writes a piece of a body, and what stands around it, in one go. False: no more is wanted for now. */
export function writePiece(socket: Socket, before: string, piece: Buffer, after: string): boolean {
  if (piece.length <= JOINED_BYTES_MAX) {
    return socket.write(before + piece.toString('latin1') + after, 'latin1')
  }
  socket.cork()
  if (before !== '') socket.write(before, 'latin1')
  let more = socket.write(piece)
  if (after !== '') more = socket.write(after, 'latin1')
  socket.uncork()
  return more
}

/** The end of a body in chunks, with the trailers that may go on. */
export function lastChunk(trailers: readonly string[]): string {
  let end = '0\r\n'
  for (const [name, value] of trailerPairs(trailers)) end += `${name}: ${value}\r\n`
  return `${end}\r\n`
}
