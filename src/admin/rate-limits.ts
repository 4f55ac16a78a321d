/** How many requests a client may make in a minute: the documented environment endpoints, and all others. */
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AdminConfig } from '../config/schema.ts'
import { AdminError } from './errors.ts'

/** The endpoints of the environment-management API, whose documented limit is 60 a minute. */
const environmentPaths = new Set(['activity_logs', 'tags', 'tags_assignments', 'secrets_management'])

const WINDOW_MS = 60_000

type Rates = AdminConfig['rate_limits']
type Group = keyof Rates

/** Counts a request of a client that signed in; throws 429 when it is one too many. */
export type AssertRate = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

/** Entries of other systems come by the thousand: the documented limit is on reading the log. */
const appends = 'POST /api/activity_logs'

function groupOf({ method, routeOptions: { url = '' } }: FastifyRequest): Group {
  const [, root, resource = ''] = url.split('/', 3)
  const documented = root === 'api' && environmentPaths.has(resource) && `${method} ${url}` !== appends
  return documented ? 'environment_per_minute' : 'default_per_minute'
}

/** A window of a minute per client and group, in a store that forgets the least recently seen client. */
export async function createRateLimits(app: FastifyInstance, rates: () => Rates): Promise<AssertRate> {
  await app.register(rateLimit, { global: false })
  const counting = (group: Group) =>
    app.createRateLimit({
      keyGenerator: ({ signedIn }) => String(signedIn?.id),
      max: () => rates()[group],
      timeWindow: WINDOW_MS,
    })
  const counters: Readonly<Record<Group, ReturnType<typeof counting>>> = {
    environment_per_minute: counting('environment_per_minute'),
    default_per_minute: counting('default_per_minute'),
  }
  return async (request, reply) => {
    const group = groupOf(request)
    if (rates()[group] === 0) return
    const count = await counters[group](request)
    if (count.isAllowed) return
    const { max, remaining, ttlInSeconds, isExceeded } = count
    const headers = {
      'x-ratelimit-limit': String(max),
      'x-ratelimit-remaining': String(remaining),
      'x-ratelimit-reset': String(ttlInSeconds),
    }
    reply.headers(headers)
    if (!isExceeded) return
    const message = `a client may make at most ${max} requests per minute here, got one more`
    throw new AdminError(429, message, { headers: { 'retry-after': String(ttlInSeconds) } })
  }
}
