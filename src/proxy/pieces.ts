/** Bodies on their way out, in either direction: pieces, chunks, and what is copied rather than gathered. */
import type { Socket } from 'node:net'
import { allowedTrailers, fieldLines } from './headers.ts'

/** Above this copying a piece into a string costs more than a gather of several pieces. */
export const JOINED_BYTES_MAX = 4096

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
  return trailers.length === 0 ? '0\r\n\r\n' : `0\r\n${fieldLines(allowedTrailers(trailers))}\r\n`
}

/** Lent bytes as memory of their own, unless they are copied as text anyway. */
export function kept(lent: Buffer): Buffer {
  if (lent.length <= JOINED_BYTES_MAX) return lent
  const own = Buffer.allocUnsafeSlow(lent.length)
  lent.copy(own)
  return own
}
