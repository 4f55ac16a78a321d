/** The recorder's steps alone: decode, redact, encode; and all of them over a slab, down to its frames. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { limits } from '../../src/contract/limits.ts'
import type { RecordMirror, RecordPlan, RecordTask } from '../../src/contract/tasks.ts'
import { recordBytes, recordText, SlabView, writeRecord } from '../../src/queue/slab.ts'
import { SlabReader } from '../../src/queue/slab-reader.ts'
import { decodeBody } from '../../src/recorder/decode.ts'
import { ItemEncoder, type ItemRules } from '../../src/recorder/encode.ts'
import { ItemBuffer } from '../../src/recorder/item-buffer.ts'
import { record } from '../../src/recorder/record.ts'
import { Redactor } from '../../src/recorder/redact.ts'
import { sealed } from './exchange.ts'
import type { Step } from './micro.ts'

const rules: ItemRules = {
  format: 'pair',
  environment: 'dev',
  bodyBytes: 262_144,
  requestBody: true,
  responseBody: true,
  decode: true,
  redact: { defaults: true, mode: 'mask', headers: [], query: [], jsonFields: [], detect: [] },
}

const orders = {
  orders: Array.from({ length: 60 }, (_, id) => ({ id, sku: `A-${id * 7919}`, total: id * 1.37 })),
}
const page = Buffer.from(JSON.stringify(orders))
const secretPage = Buffer.from(JSON.stringify({ ...orders, password: 'correct horse', card: { cvv: '123' } }))

const compressors = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync } as const

function decode(coding: keyof typeof compressors): Step {
  const body = compressors[coding](page)
  return {
    name: `decode ${coding}`,
    unit: 'body',
    note: `${body.length} bytes to ${page.length} bytes of JSON`,
    run: (times) => {
      for (let done = 0; done < times; done += 1) {
        const { error } = decodeBody(body, [coding], false, rules.bodyBytes)
        if (error !== null) throw new Error(error)
      }
    },
  }
}

function redact(body: Buffer, what: string): Step {
  const redactor = new Redactor(rules.redact)
  return {
    name: 'redact',
    unit: 'body',
    note: `${body.length} bytes of JSON, ${what}`,
    run: (times) => {
      for (let done = 0; done < times; done += 1) redactor.body(body, true, 'application/json')
    },
  }
}

/** Both items of a pair, default redaction included. */
function encode(): Step {
  const encoder = new ItemEncoder(rules)
  const { slab, used } = fullSlab()
  const record = new SlabReader(slab, used)
  record.next()
  const item = new ItemBuffer()
  let turn = 0
  return {
    name: 'encode',
    unit: 'pair',
    note: '1 KB request, 400-byte response, redaction on',
    run: (times) => {
      for (let done = 0; done < times; done += 1) {
        turn += 1
        item.reset()
        encoder.item(record, 'request', turn, item)
        encoder.item(record, 'response', turn, item)
      }
    },
  }
}

function fullSlab(): { slab: ArrayBufferLike; used: number; exchanges: number } {
  const view = new SlabView(new SharedArrayBuffer(limits.slab_bytes_max))
  const text = recordText(sealed)
  const bytes = recordBytes(sealed, text)
  const exchanges = Math.floor(limits.slab_bytes_max / bytes)
  for (let at = 0; at < exchanges; at += 1) writeRecord(view, at * bytes, bytes, sealed, text)
  return { slab: view.slab, used: exchanges * bytes, exchanges }
}

/** A slab to the frames of two legs: what one mirrored exchange costs a recorder thread. */
function recordSlab(): Step {
  const folder = mkdtempSync(`${tmpdir()}/mirrorgate-micro-`)
  const mirror: RecordMirror = {
    ...rules,
    slot: 0,
    legs: [
      { leg: 0, name: 'requests', half: 'request', folder: `${folder}/0` },
      { leg: 1, name: 'responses', half: 'response', folder: `${folder}/1` },
    ],
    format: 'pair',
    frameItems: 500,
    frameBytes: 4_000_000,
    itemBytes: 4_000_000,
    segmentBytes: limits.segment_bytes,
    fsyncMs: 60_000,
  }
  const plan: RecordPlan = { generation: 1, mirrors: [mirror] }
  const { slab, used, exchanges } = fullSlab()
  const room = { 0: Number.MAX_SAFE_INTEGER, 1: Number.MAX_SAFE_INTEGER }
  const task: RecordTask = {
    ...{ slab, used, thread: 0, sequence: 0, generation: 1, plan: JSON.stringify(plan) },
    ...{ room, parked: [], written: {} },
  }
  return {
    name: 'record',
    unit: 'exchange',
    note: '1 KB request, 400-byte response, redaction on',
    run: (times) => {
      for (let done = 0; done < times; done += exchanges) {
        // The disk is not what is measured: closed segments go at once.
        for (const { leg, segment } of record(task).closed) rmSync(`${folder}/${leg}/${segment}`)
      }
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

export const recorderSteps: readonly (() => Step)[] = [
  () => decode('gzip'),
  () => decode('br'),
  () => decode('zstd'),
  () => redact(page, 'nothing to redact'),
  () => redact(secretPage, 'two fields to redact'),
  encode,
  recordSlab,
]
