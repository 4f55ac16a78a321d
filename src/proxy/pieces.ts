/** Bodies on their way out, in either direction: pieces, chunks, and what is copied rather than gathered. */
import type { Socket } from 'node:net'
import { allowedTrailers, fieldLines } from './headers.ts'

/** Above this copying into a string costs more than a gather. */
export const JOINED_BYTES_MAX = 4096

/** A piece of a body that may be kept: as latin1, which keeps every byte, where it is small. */
export type Piece = string | Buffer

/** Bytes that are lent for a call, to be kept. */
export function pieceOf(lent: Buffer): Piece {
  if (lent.length <= JOINED_BYTES_MAX) return lent.toString('latin1')
  const own = Buffer.allocUnsafeSlow(lent.length)
  lent.copy(own)
  return own
}

/** Writes a piece of a body, and what stands around it, in one go. False: no more is wanted for now. */
export function writePiece(socket: Socket, before: string, piece: Piece, after: string): boolean {
  if (typeof piece === 'string') return socket.write(before + piece + after, 'latin1')
  socket.cork()
  if (before !== '') socket.write(before, 'latin1')
  let more = socket.write(piece)
  if (after !== '') more = socket.write(after, 'latin1')
  socket.uncork()
  return more
}

/** The end of a body in chunks, with the trailers that may go on. */
export function lastChunk(trailers: readonly string[]): string {
  return trailers.length === 0 ? '0\r\n\r\n' : `0\r\n${fieldLines(allowedTrailers(trailers))}\r\n`
}
