/** The splunk sink: conformance, what the collector sees, its codes, and the wait until it has indexed. */
import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import type { Sink } from '../../src/contract/plugin.ts'
import { type Collector, type Delivery, startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import splunk from './sink.ts'

const events = (body: Buffer): Record<string, unknown>[] =>
  body
    .toString()
    .split('\n')
    .map((line) => JSON.parse(line))

sinkConformance({
  definition: splunk,
  options: (url) => ({ url: `${url}/services/collector/event`, ack: false }),
  http: ({ body }) => events(body).map(({ event }) => event),
})

const token = '11111111-2222-4333-8444-555555555555'
const never = new AbortController().signal

let collector: Collector

describe('towards splunk', () => {
  beforeEach(async () => {
    collector = await startCollector()
  })
  afterEach(() => collector.close())
  async function open(options: object = {}): Promise<Sink> {
    const host = createSinkHttp(target())
    onEnd(() => host.close())
    const url = `${collector.url}/services/collector/event`
    const own = { url, token, ack: false, ...options }
    return splunk.create(sinkContext(own, host.http))
  }

  const batch = (...lines: string[]) => ({
    id: 'b',
    mirror: 'm',
    leg: 'events',
    items: lines.length,
    ndjson: Buffer.from(lines.map((line) => `${line}\n`).join('')),
  })

  /** An HTTP Event Collector as it is documented: what it refuses, it refuses with its own code. */
  class EventCollector {
    readonly indexed: unknown[] = []
    readonly channels: (string | string[] | undefined)[] = []
    /** How many questions each acknowledgement takes. */
    pending = 0
    wantsAck = false
    #acks = 0

    answer = (response: ServerResponse, { path, headers, body }: Delivery): void => {
      const reply = (status: number, code: number, more: object = {}) =>
        response.writeHead(status).end(JSON.stringify({ text: `code ${code}`, code, ...more }))
      const channel = headers['x-splunk-request-channel']
      if (headers.authorization === undefined) return void reply(401, 2)
      if (!headers.authorization.startsWith('Splunk ')) return void reply(401, 3)
      if (headers.authorization !== `Splunk ${token}`) return void reply(403, 4)
      if (path.startsWith('/services/collector/ack')) {
        if (!path.endsWith(`?channel=${channel}`)) return void reply(400, 11)
        const { acks } = JSON.parse(body.toString()) as { acks: number[] }
        const done = this.pending === 0
        this.pending = Math.max(0, this.pending - 1)
        return void response.end(JSON.stringify({ acks: Object.fromEntries(acks.map((id) => [id, done])) }))
      }
      this.channels.push(channel)
      if (this.wantsAck && channel === undefined) return void reply(400, 10)
      if (body.length === 0) return void reply(400, 5)
      const parsed = parse(body)
      if (parsed === null) return void reply(400, 6)
      if (parsed.some(({ event }) => event === undefined)) return void reply(400, 12)
      if (parsed.some(({ event }) => event === '')) return void reply(400, 13)
      if (parsed.some(({ index }) => index === 'missing')) return void reply(400, 7)
      this.indexed.push(...parsed)
      reply(200, 0, this.wantsAck ? { ackId: this.#acks++ } : {})
    }
  }

  /** Concatenated objects, as the collector takes them; an array or a comma is invalid. */
  function parse(body: Buffer): Record<string, unknown>[] | null {
    try {
      const parsed = events(body)
      return parsed.every((one) => !Array.isArray(one)) ? parsed : null
    } catch {
      return null
    }
  }

  test('each event has its own time, and what the mirror says of all', async () => {
    const service = new EventCollector()
    collector.behave(service.answer)
    const sink = await open({
      index: 'api',
      source: 'mirrorgate',
      sourcetype: '_json',
      fields: { team: 'x' },
    })
    await sink.write(batch('{"ts":"2026-11-21T08:00:00.123Z","a":1}', 'CEF:0|a|b', '{"a":2}'), never)
    const common = { index: 'api', source: 'mirrorgate', sourcetype: '_json', fields: { team: 'x' } }
    expect(service.indexed).toEqual([
      { time: 1795248000.123, ...common, event: { ts: '2026-11-21T08:00:00.123Z', a: 1 } },
      { ...common, event: 'CEF:0|a|b' },
      { ...common, event: { a: 2 } },
    ])
    expect(service.channels, 'no channel where none is wanted').toEqual([undefined])
  })

  test.each([
    ['another token', { token: 'other' }, 'unauthorized', 403],
    ['an index that is not there', { index: 'missing' }, 'refused', 400],
  ])('%s: a person must act', async (_what, options, kind, status) => {
    collector.behave(new EventCollector().answer)
    const sink = await open(options)
    await expect(sink.write(batch('{"a":1}'), never)).rejects.toMatchObject({ kind, status })
  })

  test('a token with acknowledgment says to set ack, one without says to unset it', async () => {
    const service = new EventCollector()
    service.wantsAck = true
    collector.behave(service.answer)
    await expect((await open()).write(batch('{"a":1}'), never)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('set ack'),
    })
    service.wantsAck = false
    await expect((await open({ ack: true })).write(batch('{"a":1}'), never)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('unset ack'),
    })
  })

  test('with ack a batch is accepted when it is indexed, and not before', async () => {
    const service = new EventCollector()
    service.wantsAck = true
    service.pending = 1
    collector.behave(service.answer)
    const sink = await open({ ack: true })
    await sink.write(batch('{"a":1}'), never)
    expect(collector.deliveries.filter(({ path }) => path.includes('/ack?')).length).toBe(2)
    service.pending = Number.POSITIVE_INFINITY
    await expect(sink.write(batch('{"a":2}'), AbortSignal.timeout(50))).rejects.toThrow()
  })
})
