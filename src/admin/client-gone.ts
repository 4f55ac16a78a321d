/** Tells work that only its answer is good for that its client went away. */
import type { FastifyReply } from 'fastify'
import { AdminError } from './errors.ts'

/** Aborts when the connection closes; the error of work that heeds it is told to nobody. */
export function untilGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort(new AdminError(499, 'the client went away')))
  return gone.signal
}
