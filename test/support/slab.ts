/** Slabs for tests: exchanges written into one as a data thread does, and read back as plain objects. */
import type { CapturedBody, CapturedExchange } from '../../src/contract/exchange.ts'
import { fieldLines } from '../../src/proxy/headers.ts'
import { recordBytes, recordText, SlabView, type SealedExchange, writeRecord } from '../../src/queue/slab.ts'
import { stringAt } from '../../src/queue/slab-format.ts'
import { type BodyRange, HeaderLine, type Range, SlabReader } from '../../src/queue/slab-reader.ts'

export interface WrittenSlab {
  readonly slab: ArrayBufferLike
  readonly used: number
}

/** Exchanges as they are before they are sealed. */
export function sealedOf(exchange: CapturedExchange): SealedExchange {
  const kept = ({ bytes, size, limited }: CapturedBody) => ({
    ...{ pieces: [bytes], kept: bytes.length, size, limited },
  })
  return {
    ...exchange,
    requestLines: fieldLines(exchange.requestHeaders),
    requestTrailers: fieldLines(exchange.requestTrailers),
    responseLines: fieldLines(exchange.responseHeaders),
    responseTrailers: fieldLines(exchange.responseTrailers),
    requestBody: kept(exchange.requestBody),
    responseBody: kept(exchange.responseBody),
  }
}

/** A slab of `bytes`, or one in which they just fit. */
export function slabWith(exchanges: readonly SealedExchange[], bytes = 0): WrittenSlab {
  const texts = exchanges.map(recordText)
  const lengths = exchanges.map((one, index) => recordBytes(one, texts[index] as string))
  const used = lengths.reduce((sum, length) => sum + length, 0)
  const view = new SlabView(new SharedArrayBuffer(Math.max(bytes, used)))
  let at = 0
  exchanges.forEach((one, index) => {
    writeRecord(view, at, lengths[index] as number, one, texts[index] as string)
    at += lengths[index] as number
  })
  return { slab: view.slab, used }
}

function list(bytes: Buffer, { from, to }: Range): string[] {
  const pairs: string[] = []
  const line = new HeaderLine()
  for (let at = from; at < to; at = line.next) {
    line.read(bytes, at, to)
    pairs.push(bytes.toString('latin1', line.name, line.nameEnd))
    pairs.push(bytes.toString('latin1', line.value, line.valueEnd))
  }
  return pairs
}

function body(bytes: Buffer, { from, to, size, limited }: BodyRange): CapturedBody {
  return { bytes: bytes.subarray(from, to), size, limited }
}

/** Bodies are views into the slab: they live as long as it does. */
export function* exchangesIn({ slab, used }: WrittenSlab): Generator<CapturedExchange, void, void> {
  const record = new SlabReader(slab, used)
  while (record.next()) {
    yield {
      id: record.string(stringAt.id),
      collection: record.string(stringAt.collection),
      upstream: record.string(stringAt.upstream),
      clientIp: record.string(stringAt.clientIp),
      scheme: record.string(stringAt.scheme) === 'https' ? 'https' : 'http',
      method: record.string(stringAt.method),
      host: record.string(stringAt.host),
      target: record.string(stringAt.target),
      requestVersion: record.string(stringAt.requestVersion),
      responseVersion: record.string(stringAt.responseVersion),
      startedAt: record.startedAt,
      answeredAt: record.answeredAt,
      durationMs: record.durationMs,
      upstreamMs: record.upstreamMs,
      outcome: record.outcome,
      errorCode: record.errorCode,
      clientPort: record.clientPort,
      status: record.status,
      requestHeaders: list(record.bytes, record.requestHeaders),
      requestTrailers: list(record.bytes, record.requestTrailers),
      responseHeaders: list(record.bytes, record.responseHeaders),
      responseTrailers: list(record.bytes, record.responseTrailers),
      requestBody: body(record.bytes, record.requestBody),
      responseBody: body(record.bytes, record.responseBody),
      mirrors: Array.from({ length: record.mirrors }, (_, index) => record.mirror(index)),
    }
  }
}
