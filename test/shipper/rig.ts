/**
 * One leg without a gateway around it: a real store, real segments, real deliveries to a real collector. What
 * main, the data threads and a recorder would do is called by hand, so that a test decides the order of
 * things.
 */
import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import { sinks } from '../../plugins/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { MirrorConfig } from '../../src/config/schema.ts'
import type { ShipResult, ShipTask } from '../../src/contract/tasks.ts'
import { indexSegment } from '../../src/queue/spool-reader.ts'
import { SegmentWriter } from '../../src/queue/spool.ts'
import { closeSinks, configureSinks, deliver } from '../../src/shipper/deliver.ts'
import { judgeEvents, writeEvents } from '../../src/shipper/event-intake.ts'
import { housekeep } from '../../src/shipper/janitor.ts'
import type { Leg } from '../../src/shipper/leg.ts'
import type { LegHost } from '../../src/shipper/leg-host.ts'
import { probe } from '../../src/shipper/probe.ts'
import { recoverLeg } from '../../src/shipper/recover.ts'
import { targetOf } from '../../src/shipper/targets.ts'
import { type Command, Store } from '../../src/store/store.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { onEnd } from '../support/cleanup.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { tempDir } from '../support/files.ts'
import { accountOf, until } from '../support/wait.ts'

/** A store whose disk can be full. */
export class BreakableStore extends Store {
  refuses = false

  override apply(commands: readonly Command[]): Promise<void> {
    return this.refuses ? Promise.reject(new Error('the store refuses')) : super.apply(commands)
  }
}

/** Parts of the mirror, beside what is short by default. */
export interface MirrorChanges {
  readonly batch?: Partial<MirrorConfig['batch']>
  readonly retry?: MirrorConfig['retry']
  readonly spool?: Partial<MirrorConfig['spool']>
  readonly concurrency?: number
  readonly timeout_ms?: number
  readonly max_bytes_per_second?: number
  readonly enabled?: boolean
}

export interface RigOptions extends MirrorChanges {
  /** Bytes after which its segments roll. */
  readonly segment_bytes?: number
  /** Whatever is sent counts as written long ago: damage takes a disk, and time. */
  readonly aged?: boolean
}

const legName = 'requests'
const owner = { kind: 'mirrors', name: 'salt' } as const

async function mirrorOf(collector: TestCollector, changes: MirrorChanges): Promise<MirrorConfig> {
  const text = `
collections: [{ name: orders, upstreams: [{ url: "http://127.0.0.1:1" }], mirrors: [salt] }]
mirrors:
  - name: salt
    sink: salt
    request_url: "${collector.url}/requests"
    response_url: "${collector.url}/responses"
`
  const loaded = await loadConfig({ file: 'rig.yaml', text, env: {}, sinks, generation: 1 })
  if (!loaded.ok)
    throw new Error(loaded.problems.map(({ path: at, message }) => `${at} ${message}`).join('\n'))
  const [mirror] = loaded.config.mirrors as [MirrorConfig]
  const retry = { attempts: 2, min_wait_ms: 10, max_wait_ms: 40, probe_ms: 40 }
  return {
    ...mirror,
    ...changes,
    batch: { ...mirror.batch, max_wait_ms: 10, ...changes.batch },
    retry: changes.retry ?? retry,
    spool: { ...mirror.spool, fsync_ms: 1000, ...changes.spool },
    timeout_ms: changes.timeout_ms ?? 1000,
  }
}

/** What a process holds; a crash takes all of it. */
interface Life {
  readonly store: BreakableStore
  readonly memory: { captured: number; slabbed: number; bufferFull: number; captureError: number }
  readonly writer: SegmentWriter
  readonly sent: ShipTask[]
  leg: Leg
  dead: boolean
}

export class Rig {
  readonly folder: string
  readonly collector: TestCollector
  mirror: MirrorConfig
  readonly #options: RigOptions
  #life!: Life
  #captured = 0
  #sequence = 0

  private constructor(folder: string, collector: TestCollector, mirror: MirrorConfig, options: RigOptions) {
    this.folder = folder
    this.collector = collector
    this.mirror = mirror
    this.#options = options
  }

  static async open(options: RigOptions = {}): Promise<Rig> {
    // Not once for all: another file in this process may have named sinks of its own.
    configureSinks(sinks)
    const collector = await startCollector()
    const { segment_bytes: _bytes, aged: _aged, ...changes } = options
    const rig = new Rig(await tempDir(), collector, await mirrorOf(collector, changes), options)
    await rig.#start()
    onEnd(() => rig.#end())
    return rig
  }

  get leg(): Leg {
    return this.#life.leg
  }
  get store(): BreakableStore {
    return this.#life.store
  }
  get spool(): string {
    return path.join(this.folder, 'spool')
  }
  /** Every delivery of this life. */
  get sent(): readonly ShipTask[] {
    return this.#life.sent
  }
  /** Items that were captured, in all lives. */
  get captured(): number {
    return this.#captured
  }

  async #start(): Promise<void> {
    const store = new BreakableStore(this.folder)
    const life = { store, memory: noMemory(), writer: this.#writer(), sent: [], dead: false } as Omit<
      Life,
      'leg'
    >
    const identity = { owner, name: legName, folder: this.spool }
    const leg = await recoverLeg(identity, this.#host(life), () => life.memory)
    this.#life = Object.assign(life, { leg })
    this.configure()
  }

  #writer(): SegmentWriter {
    return new SegmentWriter(this.spool, { segmentBytes: this.#options.segment_bytes ?? 4096, fsyncMs: 1000 })
  }

  #host(life: Omit<Life, 'leg'>): LegHost {
    const never = new Promise<ShipResult>(() => {})
    return {
      store: life.store,
      dataDir: this.folder,
      feed: life.store.activity.feed,
      log: createLog({ level: 'silent', format: 'json' }),
      ship: async (task) => {
        life.sent.push(task)
        const { source } = task
        const aged = this.#options.aged === true && 'path' in source
        const result = await deliver(aged ? { ...task, source: { ...source, fresh: false } } : task)
        return life.dead ? never : result
      },
      index: indexSegment,
      probe,
      judgeEvents,
      writeEvents,
      countAttempt: () => {},
      observeDelivery: () => {},
      news: () => {},
    }
  }

  /** Applies the mirror as it stands, with changes. */
  configure(changes: MirrorChanges = {}): void {
    const { batch, spool, ...rest } = changes
    this.mirror = {
      ...this.mirror,
      ...rest,
      batch: { ...this.mirror.batch, ...batch },
      spool: { ...this.mirror.spool, ...spool },
    } as MirrorConfig
    const url = this.mirror.legs[0]?.url ?? ''
    const origin = { environment: 'dev', workspaceId: 1 }
    const target = targetOf(owner, this.mirror, undefined, { origin, render: null })
    this.leg.configure({ delivery: this.mirror, url, target })
  }

  /** Captures items and brings them to the disk, as one frame; their ids. */
  capture(count: number, filler = ''): string[] {
    const ids = Array.from({ length: count }, () => {
      this.#captured += 1
      return `item-${this.#captured}`
    })
    const payload = ids
      .map((id) => `${JSON.stringify({ id, filler, request: { path: `/${id}` } })}\n`)
      .join('')
    const { memory, writer, leg } = this.#life
    memory.captured += count
    memory.slabbed += count
    this.#sequence += 1
    const now = Date.now()
    const info = { items: count, oldest: now, newest: now, thread: 0, sequence: this.#sequence }
    const frame = writer.append(Buffer.from(payload), info, { parked: false })
    leg.frame({ leg: 0, ...frame })
    leg.pump()
    for (const segment of writer.takeClosed()) leg.segmentClosed(segment)
    return ids
  }

  /** Closes the open segment, as a recorder does when it rolls. */
  roll(): void {
    this.#life.writer.close()
    for (const segment of this.#life.writer.takeClosed()) this.leg.segmentClosed(segment)
  }

  counts() {
    return this.leg.ledger.counts(this.leg.queue.waitingItems)
  }

  /** The identity, and that no count is below zero. */
  check(): void {
    const counts = this.counts()
    expect(accountOf(counts), JSON.stringify(counts)).toBe(counts.captured)
    const { dropped, ...rest } = counts
    for (const [name, value] of Object.entries({ ...rest, ...dropped })) {
      expect(value, `${name} of ${JSON.stringify(counts)}`).toBeGreaterThanOrEqual(0)
    }
    expect(this.leg.queue.waitingBytes, 'waiting_bytes').toBeGreaterThanOrEqual(0)
    const inSegments = [...this.leg.queue.segments].reduce(
      (sum, { pendingItems, flyingItems }) => sum + pendingItems + flyingItems,
      0,
    )
    expect(inSegments, 'items of the segments').toBe(this.leg.queue.waitingItems)
  }

  housekeep(now = Date.now()): void {
    housekeep(this.leg, this.mirror, now)
  }

  /** Waits until nothing waits; asserts the identity. */
  async drained(): Promise<void> {
    await until(() => this.counts().waiting === 0, { what: 'nothing waits any more' })
    this.check()
    expect(this.leg.queue.waitingBytes, 'waiting_bytes when nothing waits').toBe(0)
  }

  /** A clean stop and a start over the same folder. */
  async restart(): Promise<void> {
    this.roll()
    this.leg.stop()
    await until(() => !this.leg.busy, { what: 'what is on its way has ended' })
    await this.leg.removeFinished()
    this.leg.ledger.touch()
    await this.leg.ledger.flush()
    await this.#close()
    await this.#start()
  }

  /** What kill -9 leaves: the files as they are, and what the store has committed. */
  async crash(): Promise<void> {
    this.#life.dead = true
    this.store.refuses = true
    this.leg.stop()
    // Nothing of this life may still touch the files of the next one.
    await this.leg.removeFinished()
    await this.#close()
    await this.#start()
  }

  async #close(): Promise<void> {
    this.#life.dead = true
    this.#life.writer.close()
    await this.store.close()
  }

  async #end(): Promise<void> {
    this.leg.stop()
    await this.#close()
    // How many are open decides which of them are closed: the next file begins with none.
    await closeSinks()
  }

  /** Names of its segment files, oldest first. */
  files(): string[] {
    if (!fs.existsSync(this.spool)) return []
    return fs
      .readdirSync(this.spool)
      .filter((name) => name.endsWith('.seg'))
      .sort()
      .map((name) => path.join(this.spool, name))
  }

  /** Ids in accepted deliveries, duplicates included, in order of arrival. */
  arrived(): string[] {
    return this.collector.accepted(legName).flatMap(({ items }) => items.map(({ id }) => id))
  }

  async deadLetters() {
    await this.leg.ledger.flush()
    return [...this.store.legs.deadLetters(this.leg.ledger.key, 0)].map(({ id, letter }) => ({
      id,
      ...letter,
    }))
  }
}

function noMemory(): Life['memory'] {
  return { captured: 0, slabbed: 0, bufferFull: 0, captureError: 0 }
}
