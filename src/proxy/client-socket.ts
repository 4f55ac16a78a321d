/** Sockets of clients as the gateway reads them: into memory of the thread, without a stream's machinery. */
import { Socket } from 'node:net'
import { readBuffer } from './read-buffer.ts'

/** Returns false when no more is wanted before `resume`. */
export type OnRead = (bytes: Buffer, length: number) => boolean

/** What Node's server has of an accepted connection; no part of its documented interface. */
interface Accepted {
  _handle?: unknown
}

/**
 * A socket that reads into the shared buffer: `onread` is what Node offers for that, but only where a socket
 * is made, so one is made on the accepted handle. Where there is none to be had, the accepted socket itself
 * reports what it reads. `accepted` must not read yet (`pauseOnConnect`).
 */
export function openClientSocket(accepted: Socket, onRead: OnRead): Socket {
  const holder = accepted as Accepted
  const handle = holder._handle
  if (typeof handle !== 'object' || handle === null) {
    accepted.on('data', (chunk: Buffer) => {
      if (!onRead(chunk, chunk.length)) accepted.pause()
    })
    return accepted
  }
  const bytes = readBuffer()
  const onread = { buffer: bytes, callback: (length: number) => onRead(bytes, length) }
  const socket = new Socket({ handle, allowHalfOpen: true, onread } as ConstructorParameters<
    typeof Socket
  >[0])
  holder._handle = null
  accepted.destroy()
  return socket
}
