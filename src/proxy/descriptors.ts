/** Descriptors: how many this process may have open, and how many client connections they are enough for. */
import { readFileSync } from 'node:fs'
import type { Config } from '../config/schema.ts'
import { limits } from '../contract/limits.ts'

/** Null where the system does not say. Node has raised the soft bound to the hard one by now. */
export function descriptorsMax(): number | null {
  try {
    const found = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
    return found === null ? null : Number(found[1])
  } catch {
    return null
  }
}

/**
 * Client connections that are taken: no more than leave descriptors for their upstreams, for deliveries and
 * for the gateway itself. Where a client took the last one, every other request would fail for it.
 */
export function clientConnectionsMax(config: Config, descriptors: number | null): number {
  const { threads, limits: wanted } = config.listen
  if (descriptors === null) return wanted.connections
  const own = limits.descriptors_own + threads * limits.descriptors_per_thread
  const deliveries = [...config.mirrors, ...config.streams].reduce(
    (sum, { legs, concurrency }) => sum + legs.length * concurrency,
    0,
  )
  const pools = config.collections.reduce(
    (sum, { upstreams, limits: pool }) => sum + upstreams.length * pool.connections_per_upstream * threads,
    0,
  )
  const left = descriptors - own - deliveries
  // A client has one request under way, so half of them is enough for any pools.
  const most = Math.max(left - pools, left >> 1, limits.client_connections_min)
  return Math.min(wanted.connections, most)
}

/** What to tell about it; nothing where all that is configured can be had. */
export function descriptorWarnings(config: Config, descriptors: number | null): string[] {
  const most = clientConnectionsMax(config, descriptors)
  const wanted = config.listen.limits.connections
  if (most === wanted) return []
  return [
    `listen.limits.connections: ${descriptors} descriptors are enough for ${most} connections, ` +
      `got ${wanted}; raise the limit of open files of the process`,
  ]
}
