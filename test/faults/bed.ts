/**
 * What every fault test stands on: a gateway between clients and an upstream, with a collector that
 * misbehaves.
 */
import { expect } from 'vitest'
import type { DeliveryView } from '../../src/admin/commands.ts'
import { Client } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import {
  type MirrorSetup,
  mirrorConfig,
  sharedTestGateway,
  startTestGateway,
  type TestGateway,
  type TestGatewayOptions,
} from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

const LANES = 8

export interface Bed {
  readonly upstream: HttpUpstream
  readonly collector: TestCollector
  readonly config: Record<string, unknown>
  /** Name of its mirror. */
  readonly mirror: string
  gateway: TestGateway
  /** Sends so many exchanges over a few connections; every one must be answered as the upstream answers. */
  send(count: number, body?: string): Promise<void>
  /** Exchanges that were answered so far, over all gateways of this bed. */
  readonly answered: number
  view(): Promise<DeliveryView>
  /** Waits for a view with this property; the identity must hold in it. */
  sees(what: string, is: (view: DeliveryView) => boolean): Promise<DeliveryView>
  /** Everything that was sent is at the collector as pairs, and the account says so. */
  expectAllDelivered(): Promise<DeliveryView>
  /** Another gateway over the same folder. */
  restart(config?: Record<string, unknown>): Promise<TestGateway>
}

export type BedChanges = Omit<MirrorSetup, 'upstream' | 'collector'>

export async function startBed(
  changes: BedChanges = {},
  run: Pick<TestGatewayOptions, 'env' | 'program' | 'folder'> = {},
): Promise<Bed> {
  const ends = { upstream: await startUpstream(), collector: await startCollector() }
  const config = configOf(ends, changes)
  return bedOn(await startTestGateway({ config, ...run }), { ...ends, config, mirror: 'salt' }, run.env)
}

export type SharedBed = Omit<Bed, 'restart'>

/**
 * One gateway for the tests of a file, which each bring a mirror, its collector and its upstream: a start
 * takes more than most tests do.
 */
export function sharedGateway(): (changes?: BedChanges) => Promise<SharedBed> {
  const configured = sharedTestGateway()
  let beds = 0
  return async (changes = {}) => {
    beds += 1
    const ends = { upstream: await startUpstream(), collector: await startCollector() }
    const mirror = `salt-${beds}`
    const config = configOf(ends, onMirror(mirror, changes))
    return bedOn(await configured(config), { ...ends, config, mirror })
  }
}

/** The same changes for a mirror of another name. */
export function onMirror(name: string, changes: BedChanges): BedChanges {
  return {
    ...changes,
    collection: { mirrors: [name], ...changes.collection },
    mirror: { ...changes.mirror, name },
  }
}

interface Ends {
  readonly upstream: HttpUpstream
  readonly collector: TestCollector
}

function configOf({ upstream, collector }: Ends, changes: BedChanges): Record<string, unknown> {
  return mirrorConfig({ upstream: upstream.url, collector: collector.url, ...changes })
}

function bedOn(
  gateway: TestGateway,
  ends: Ends & Pick<Bed, 'config' | 'mirror'>,
  env: TestGatewayOptions['env'] = {},
): Bed {
  const { collector, config, mirror } = ends
  let client: Client | null = null
  const bed = {
    ...ends,
    gateway,
    answered: 0,
    async send(count: number, body = '{"item":"book"}') {
      client ??= new Client(bed.gateway.port, LANES)
      const through = client
      let next = 0
      const lane = async () => {
        while (next < count) {
          next += 1
          const { status, text } = await through.send({ method: 'POST', path: `/orders/${next}`, body })
          expect([status, text], 'what a client is answered').toEqual([200, '{"ok":true}'])
          bed.answered += 1
        }
      }
      await Promise.all(Array.from({ length: LANES }, lane))
    },
    view: () => bed.gateway.admin.mirror(mirror),
    async sees(what: string, is: (view: DeliveryView) => boolean) {
      const seen = await until(
        async () => {
          const view = await bed.view()
          return is(view) && view
        },
        { what, within_ms: 15_000 },
      )
      expectIdentity(seen)
      return seen
    },
    async expectAllDelivered() {
      const view = await bed.sees(
        `all ${bed.answered} exchanges are delivered`,
        ({ counts }) => counts.captured === 2 * bed.answered && counts.waiting === 0,
      )
      for (const { counts } of view.legs) {
        expect(counts).toEqual({
          captured: bed.answered,
          delivered: bed.answered,
          waiting: 0,
          dead_lettered: 0,
          dropped: {},
        })
      }
      expect(collector.pairs).toBe(bed.answered)
      return view
    },
    async restart(next = config) {
      client = null
      bed.gateway = await startTestGateway({ config: next, env, folder: bed.gateway.folder })
      return bed.gateway
    },
  }
  return bed
}

/** All legs are on disk and in this state. */
export const allLegs =
  (state: string) =>
  (view: DeliveryView): boolean =>
    view.legs.every((leg) => leg.state === state && leg.durable_items === leg.counts.waiting)
