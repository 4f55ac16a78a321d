/** Who asks: the client of a request as the activity log names it. */
import type { FastifyRequest } from 'fastify'
import { type Actor, theGateway } from '../contract/audit-trail.ts'

/** The actor of a request; on a route without a sign-in, the gateway itself on behalf of an address. */
export function actorOf({ signedIn, socket, headers }: FastifyRequest): Actor {
  const request = { ip_address: plainAddress(socket.remoteAddress), user_agent: headers['user-agent'] ?? '' }
  if (signedIn === null) return { ...theGateway, request }
  const { id, name, environment } = signedIn
  return { id, name, environment, request }
}

/** RFC 4291 §2.5.5.2: an IPv4 client of a dual-stack listener is named by its IPv4 address. */
function plainAddress(address = ''): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
}
