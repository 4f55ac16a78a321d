/** The gateway as a row: its configuration, its process, and what its admin port says of the copies. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Bed } from '../harness/bed.ts'
import { freePort, startChild, untilAnswers } from '../harness/child.ts'
import type { Mirrored, Target } from '../harness/target.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const token = 'bench-token-0123456789'

interface Leg {
  readonly counts: {
    readonly captured: number
    readonly delivered: number
    readonly waiting: number
    readonly dead_lettered: number
    readonly dropped: Readonly<Record<string, number>>
  }
  readonly durable_items: number
}

export interface GatewayTarget extends Target {
  legs(): Promise<readonly Leg[]>
}

/** All defaults except places and the time a stop takes. `mirror`: the collector's port; null: no mirror. */
function yaml(
  ports: { listen: number; admin: number; upstream: number; mirror: number | null },
  summary: boolean,
): string {
  const mirror =
    ports.mirror === null
      ? ''
      : `
connections: [{ name: collector, base_url: "http://127.0.0.1:${ports.mirror}" }]
mirrors:
  - { name: salt, sink: salt, connection: collector, request_url: /requests, response_url: /responses }`
  const stream = summary
    ? `
streams:
  - { name: log, sink: http, connection: collector, url: /log, events: [api_summary] }`
    : ''
  return `data_dir: ./data
listen:
  { host: 127.0.0.1, port: ${ports.listen}, threads: 1, timeouts: { drain_grace_ms: 0, drain_ms: 2000 } }
admin: { port: ${ports.admin}, clients: [{ name: bench, token: "\${env:BENCH_ADMIN_TOKEN}", role: viewer }] }
collections:
  - name: orders
    upstreams: [{ url: "http://127.0.0.1:${ports.upstream}" }]
    mirrors: [${ports.mirror === null ? '' : 'salt'}]${mirror}${stream}
logging: { level: warn, format: json }
`
}

async function readLegs(admin: number): Promise<readonly Leg[]> {
  const answer = await fetch(`http://127.0.0.1:${admin}/api/mirrors/salt`, {
    headers: { authorization: `Bearer ${token}` },
  })
  if (!answer.ok) throw new Error(`GET /api/mirrors/salt answered ${answer.status}: ${await answer.text()}`)
  return ((await answer.json()) as { legs: Leg[] }).legs
}

const drops = (legs: readonly Leg[]): Record<string, number> => {
  const sum: Record<string, number> = {}
  for (const { counts } of legs) {
    for (const [reason, items] of Object.entries(counts.dropped)) sum[reason] = (sum[reason] ?? 0) + items
  }
  return sum
}

/** Whether nothing is on its way any more: every item delivered, or on disk where the collector is away. */
function rests(legs: readonly Leg[], away: boolean): boolean {
  return legs.every(({ counts, durable_items }) =>
    away ? durable_items >= counts.waiting : counts.waiting === 0,
  )
}

/** Waits until the copies rest, at most 15 s. Polls seldom: an answer costs CPU that the row would pay. */
async function settle(admin: number, before: readonly Leg[], away: boolean): Promise<Mirrored> {
  let legs = await readLegs(admin)
  for (let tries = 0; tries < 60 && !rests(legs, away); tries += 1) {
    await wait(250)
    legs = await readLegs(admin)
  }
  const kept = legs.map(({ counts, durable_items }, at) => {
    const was = before[at]
    const now = counts.delivered + counts.dead_lettered + durable_items
    return now - (was ? was.counts.delivered + was.counts.dead_lettered + was.durable_items : 0)
  })
  const [now, then] = [drops(legs), drops(before)]
  const dropped = Object.entries(now).map(([reason, items]) => [reason, items - (then[reason] ?? 0)] as const)
  // Items that a full spool gave up were kept in an earlier window: they are listed, not subtracted.
  return {
    exchanges: Math.min(...kept),
    dropped: Object.fromEntries(dropped.filter(([, items]) => items > 0)),
  }
}

export async function startGateway(
  bed: Bed,
  folder: string,
  options: {
    name: string
    mirror: number | null
    /** Whether the collector never acknowledges. */
    away: boolean
    /** Whether a stream takes a line of each exchange too. */
    summary?: boolean
    /** Further arguments of node. */
    nodeArgs?: readonly string[]
    cores?: string
    env?: NodeJS.ProcessEnv
  },
): Promise<GatewayTarget> {
  const [listen, admin] = [await freePort(), await freePort()]
  mkdirSync(folder, { recursive: true })
  const file = `${folder}/gateway.yaml`
  writeFileSync(
    file,
    yaml({ listen, admin, upstream: bed.upstream, mirror: options.mirror }, options.summary === true),
  )
  const child = startChild({
    name: options.name,
    cores: options.cores ?? bed.core,
    command: process.execPath,
    args: [...(options.nodeArgs ?? []), main, 'start', '--config', file],
    folder,
    env: { ...options.env, BENCH_ADMIN_TOKEN: token },
  })
  await untilAnswers(child, `http://127.0.0.1:${admin}/readyz`)
  await untilAnswers(child, `http://127.0.0.1:${listen}/`)
  const target = { child, port: listen, legs: () => readLegs(admin) }
  if (options.mirror === null) return target
  let before: readonly Leg[] = []
  return {
    ...target,
    begin: async () => {
      await bed.stats(true)
      before = await readLegs(admin)
    },
    settle: () => settle(admin, before, options.away),
  }
}
