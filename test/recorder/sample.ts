/**
 * Captured exchanges and mirrors for the recorder's tests and bench: ordinary ones, with what a case
 * changes.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type {
  CapturedBody,
  CapturedExchange,
  ExchangeItem,
  RequestItem,
  ResponseItem,
} from '../../src/contract/exchange.ts'
import type { Half } from '../../src/contract/plugin.ts'
import type { RecordMirror, RecordPlan, RecordResult, RecordTask } from '../../src/contract/tasks.ts'
import { SlabReader } from '../../src/queue/slab-reader.ts'
import { ItemEncoder } from '../../src/recorder/encode.ts'
import { ItemBuffer } from '../../src/recorder/item-buffer.ts'
import type { Recorder } from '../../src/recorder/record.ts'
import { onEnd } from '../support/cleanup.ts'
import { sealedOf, slabWith } from '../support/slab.ts'

/** A whole body, or the first `kept` bytes of one. */
export function bodyOf(content: string | Buffer, kept?: number): CapturedBody {
  const bytes = Buffer.from(content)
  return { bytes: bytes.subarray(0, kept ?? bytes.length), size: bytes.length, limited: false }
}

export function exchangeOf(changes: Partial<CapturedExchange> = {}): CapturedExchange {
  return {
    id: '0192f0c1-7d3e-7abc-8def-0123456789ab',
    startedAt: Date.UTC(2026, 10, 21, 8, 0, 0, 123),
    answeredAt: Date.UTC(2026, 10, 21, 8, 0, 0, 131),
    durationMs: 8.1,
    upstreamMs: 7.6,
    outcome: 'complete',
    errorCode: null,
    collection: 'orders',
    upstream: 'http://10.0.0.7:3000',
    clientIp: '192.0.2.1',
    clientPort: 51_234,
    scheme: 'http',
    method: 'POST',
    host: 'api.example.com',
    target: '/orders?page=2',
    requestVersion: '1.1',
    requestHeaders: ['Host', 'api.example.com', 'Content-Type', 'application/json'],
    requestTrailers: [],
    requestBody: bodyOf('{"item":"book"}'),
    status: 201,
    responseVersion: '1.1',
    responseHeaders: ['content-type', 'application/json'],
    responseTrailers: [],
    responseBody: bodyOf('{"ok":true}'),
    mirrors: [0],
    ...changes,
  }
}

export function mirrorOf(changes: Partial<RecordMirror> = {}): RecordMirror {
  return {
    slot: 0,
    legs: [],
    format: 'pair',
    environment: 'dev',
    bodyBytes: 262_144,
    requestBody: true,
    responseBody: true,
    decode: true,
    redact: { defaults: true, mode: 'mask', headers: [], query: [], jsonFields: [], detect: [] },
    frameItems: 500,
    frameBytes: 4_000_000,
    itemBytes: 4_000_000,
    segmentBytes: 8_388_608,
    fsyncMs: 1000,
    ...changes,
  }
}

/** Redaction rules with what a case changes. */
export function redactOf(changes: Partial<RecordMirror['redact']>): Pick<RecordMirror, 'redact'> {
  return { redact: { ...mirrorOf().redact, ...changes } }
}

interface Items {
  readonly request: RequestItem
  readonly response: ResponseItem
  readonly exchange: ExchangeItem
}

/** The text of one item, as a mirror with these rules gets it. */
export function itemText(half: Half, exchange: CapturedExchange, mirror: Partial<RecordMirror> = {}): string {
  const { slab, used } = slabWith([sealedOf(exchange)])
  const record = new SlabReader(slab, used)
  record.next()
  const item = new ItemBuffer()
  new ItemEncoder(mirrorOf(mirror)).item(record, half, 0, item)
  return item.bytes.toString('utf8', 0, item.length)
}

export function itemOf<H extends Half>(
  half: H,
  exchange: CapturedExchange,
  mirror: Partial<RecordMirror> = {},
): Items[H] {
  return JSON.parse(itemText(half, exchange, mirror)) as Items[H]
}

/** A mirror with two legs in a new folder that is gone at the end of the test. */
export function pairMirror(slot: number, changes: Partial<RecordMirror> = {}): RecordMirror {
  const folder = mkdtempSync(path.join(tmpdir(), 'mirrorgate-recorder-'))
  onEnd(() => rmSync(folder, { recursive: true, force: true }))
  return mirrorOf({
    slot,
    legs: [
      { leg: slot * 2, name: 'requests', half: 'request', folder: path.join(folder, 'requests') },
      { leg: slot * 2 + 1, name: 'responses', half: 'response', folder: path.join(folder, 'responses') },
    ],
    ...changes,
  })
}

export function taskOf(mirrors: readonly RecordMirror[], changes: Partial<RecordTask> = {}): RecordTask {
  const plan: RecordPlan = { generation: changes.generation ?? 1, mirrors }
  const legs = mirrors.flatMap((mirror) => mirror.legs.map(({ leg }) => leg))
  return {
    slab: new ArrayBuffer(0),
    used: 0,
    thread: 0,
    sequence: 1,
    generation: plan.generation,
    plan: JSON.stringify(plan),
    room: Object.fromEntries(legs.map((leg) => [leg, 1_000_000_000])),
    parked: [],
    written: {},
    ...changes,
  }
}

/** Records these exchanges by way of a slab. */
export function recordAll(
  recorder: Recorder,
  task: RecordTask,
  exchanges: readonly CapturedExchange[],
): RecordResult {
  return recorder.record({ ...task, ...slabWith(exchanges.map(sealedOf)) })
}

/** Every file of a folder that may not exist. */
export function filesIn(folder: string): Buffer[] {
  try {
    return readdirSync(folder).map((name) => readFileSync(path.join(folder, name)))
  } catch {
    return []
  }
}
