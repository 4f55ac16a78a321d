/** Work that only its answer is good for: it ends when the client goes away. */
import type { FastifyReply } from 'fastify'
import { AdminError } from './errors.ts'

/** The signal aborts when the connection closes; work that heeds it rejects, which nobody is told. */
export function whileConnected<Made>(
  reply: FastifyReply,
  work: (signal: AbortSignal) => Promise<Made>,
): Promise<Made> {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort(new AdminError(499, 'the client went away')))
  return work(gone.signal)
}
