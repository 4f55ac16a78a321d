/** The recorder's steps alone: decode, redact, encode. */
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { decodeBody } from '../../src/recorder/decode.ts'
import { ItemEncoder, type ItemRules } from '../../src/recorder/encode.ts'
import { Redactor } from '../../src/recorder/redact.ts'
import { captured } from './exchange.ts'
import type { Step } from './micro.ts'

const rules: ItemRules = {
  environment: 'dev',
  bodyBytes: 262_144,
  requestBody: true,
  responseBody: true,
  decode: true,
  redact: { defaults: true, mode: 'mask', headers: [], query: [], jsonFields: [] },
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
      for (let done = 0; done < times; done += 1) redactor.body(body, 'application/json')
    },
  }
}

/** Both items of a pair, default redaction included. */
function encode(): Step {
  const encoder = new ItemEncoder(rules)
  let turn = 0
  return {
    name: 'encode',
    unit: 'pair',
    note: '1 KB request, 400-byte response, redaction on',
    run: (times) => {
      for (let done = 0; done < times; done += 1) {
        turn += 1
        encoder.item(captured, 'request', turn)
        encoder.item(captured, 'response', turn)
      }
    },
  }
}

export const recorderSteps: readonly (() => Step)[] = [
  () => decode('gzip'),
  () => decode('br'),
  () => decode('zstd'),
  () => redact(page, 'nothing to redact'),
  () => redact(secretPage, 'two fields to redact'),
  encode,
]
