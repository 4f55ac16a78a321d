/**
 * The rules that every sink obeys. Each plugin's test calls it; what cannot apply is opted out with a reason.
 */
import { Ajv } from 'ajv'
import type { Static, TObject } from 'typebox'
import { afterEach, beforeEach, describe, expect, test, type TestAPI } from 'vitest'
import { OutcomeError, outcomeOfStatus } from '../../src/contract/errors.ts'
import { createSinkHttp } from '../../src/contract/http.ts'
import { limits } from '../../src/contract/limits.ts'
import type { Batch, ItemFormat, LegSpec, Sink, SinkDefinition } from '../../src/contract/plugin.ts'
import type { Target } from '../../src/contract/tasks.ts'
import {
  accept,
  answer,
  answerByteByByte,
  answerWithoutEnd,
  type Behaviour,
  type Collector,
  type Delivery,
  hang,
  hangAfterHead,
  resetBeforeHead,
  resetInBody,
  startCollector,
} from './collector.ts'
import { sinkContext, target } from './target.ts'

/** A rule that does not apply, and why. */
export interface OptOut {
  readonly because: string
}

export interface Conformance<Options extends TObject> {
  readonly definition: SinkDefinition<Options>
  /** The sink's own keys for a mirror that delivers to the test's collector (or ignores it). */
  options(collectorUrl: string): Static<Options>
  /** Items that one delivery to the collector holds, in order; or why the sink does not speak HTTP. */
  readonly http: ((delivery: Delivery, format: ItemFormat) => unknown[]) | OptOut
  /** What the service answers when it has taken all, where that is more than a status. */
  readonly accepts?: Behaviour
  /** What two tries of a batch have in common, where not all of it can be the same. */
  readonly repeats?: (delivery: Delivery) => unknown
  /** Why the status of an answer does not say by itself that a batch was taken. */
  readonly acknowledgedByBody?: OptOut
  /** For sinks without HTTP: all items that the destination holds, in order; or why nobody can tell. */
  readonly stored?: (() => Promise<unknown[]>) | OptOut
  /** For sinks whose destination speaks TLS: how their connection does. */
  readonly tls?: Target['connection']['tls']
}

const secret = 'hunter2-conformance-secret'
const never = new AbortController().signal

/** Registers the suite's tests; call it at the top level of a test file. */
export function sinkConformance<Options extends TObject>(about: Conformance<Options>): void {
  const { definition } = about
  describe(`conformance of ${definition.name}`, () => {
    describeDefinition(about)
    for (const format of definition.formats) {
      describe(`format ${format}`, () => {
        if (typeof about.http === 'function') describeHttp(about, about.http, format)
        else describeStored(about, about.http, format)
      })
    }
  })
}

/**
 * Items of a batch in a format as the recorder would write them: text that tempts whoever joins or splits
 * lines.
 */
function makeBatch(
  leg: LegSpec,
  first: number,
  count: number,
  id = `batch-${first}`,
): Batch & { values: unknown[] } {
  const values = Array.from({ length: count }, (_, n) => ({
    id: `item-${first + n}`,
    ts: '2026-11-21T08:00:00.123Z',
    [leg.half]: { body: 'a, ] [ \n\r\u2028 "}\\ ü 💥', body_bytes: 3 },
  }))
  const ndjson = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
  return { id, mirror: 'mirror-1', leg: leg.name, items: count, ndjson, values }
}

function describeDefinition<Options extends TObject>({ definition, options }: Conformance<Options>): void {
  const validate = new Ajv({ useDefaults: true, strict: false }).compile(definition.options)
  const valid = () => options('http://127.0.0.1:9') as Record<string, unknown>

  test('its options are valid, an unknown key is not', () => {
    expect(validate({ ...valid() }), JSON.stringify(validate.errors)).toBe(true)
    expect(validate({ ...valid(), no_such_key: 1 })).toBe(false)
  })

  test('every option is described, and named like the rest of the file', () => {
    for (const [key, schema] of Object.entries(definition.options.properties)) {
      expect(key).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/)
      expect((schema as { description?: string }).description, `description of ${key}`).toMatch(/\.$/)
    }
  })

  test('its legs have names for folders and labels, and show no secret', () => {
    const marked = valid()
    for (const key of definition.urls) marked[key] = `http://user:${secret}@127.0.0.1:9/in?key=${secret}`
    const legs = definition.legs(marked as Static<Options>)
    expect(legs.length).toBeGreaterThan(0)
    expect(new Set(legs.map(({ name }) => name)).size).toBe(legs.length)
    for (const { name, half, url } of legs) {
      expect(name).toMatch(/^[a-z][a-z0-9_-]{0,31}$/)
      expect(['request', 'response', 'exchange']).toContain(half)
      expect(url).not.toContain(secret)
      expect(url).not.toBe('')
    }
  })

  test('its name, summary, formats, urls and limits fit together', () => {
    expect(definition.name).toMatch(/^[a-z][a-z0-9_-]*$/)
    expect(definition.summary).toMatch(/^[A-Z].*\.$/)
    const halves = definition.legs(options('http://127.0.0.1:9')).map(({ half }) => half === 'exchange')
    for (const format of definition.formats)
      expect(halves.every((whole) => whole === (format !== 'pair'))).toBe(true)
    for (const key of definition.urls) expect(Object.keys(definition.options.properties)).toContain(key)
    expect(definition.limits.item_bytes).toBeLessThanOrEqual(definition.limits.batch_bytes)
    for (const bound of Object.values(definition.limits)) expect(bound).toBeGreaterThan(0)
  })
}

type OpenSink = { readonly sink: Sink; readonly legs: readonly LegSpec[]; close(): Promise<void> }

/** A sink over the host's own HTTP client. */
async function openSink<Options extends TObject>(
  about: Conformance<Options>,
  format: ItemFormat,
  url: string,
): Promise<OpenSink> {
  const { definition } = about
  const options = about.options(url)
  // The configuration refuses headers to what signs in by itself.
  const ownSignIn = definition.signsIn === true && typeof about.http !== 'function'
  const headers: Record<string, string> = ownSignIn ? {} : { authorization: `Bearer ${secret}` }
  const reach = target({ sink: definition.name, format }, { headers, sockets: 4, tls: about.tls ?? null })
  const host = createSinkHttp(reach)
  const sink = await definition.create(sinkContext(options, host.http, { format }))
  const close = async () => {
    await sink.close()
    await host.close()
  }
  return { sink, legs: definition.legs(options), close }
}

async function failureOf(writing: Promise<void>): Promise<OutcomeError> {
  const thrown = await writing.then(
    () => null,
    (error: unknown) => error,
  )
  expect(thrown, 'the write must fail with an OutcomeError').toBeInstanceOf(OutcomeError)
  const error = thrown as OutcomeError
  expect(`${error.message} ${error.answer}`).not.toContain(secret)
  return error
}

function describeHttp<Options extends TObject>(
  about: Conformance<Options>,
  itemsOf: (delivery: Delivery, format: ItemFormat) => unknown[],
  format: ItemFormat,
): void {
  let collector: Collector
  let open: OpenSink
  let leg: LegSpec

  beforeEach(async () => {
    collector = await startCollector()
    collector.behave(about.accepts ?? accept)
    open = await openSink(about, format, collector.url)
    leg = open.legs[0] as LegSpec
  })
  afterEach(async () => {
    await open.close()
    await collector.close()
  })

  test('delivers every item of every leg once, in order, with the headers of its batch', async () => {
    for (const one of open.legs) {
      for (const count of [1, 2, 500]) {
        const batch = makeBatch(one, count, count)
        await open.sink.write(batch, never)
        const deliveries = collector.deliveries.splice(0)
        expect(deliveries.flatMap((delivery) => itemsOf(delivery, format))).toEqual(batch.values)
        for (const { headers } of deliveries) {
          expect(headers['authorization']).toBe(`Bearer ${secret}`)
          expect(headers['x-mirrorgate-batch-id']).toMatch(new RegExp(`^${batch.id}`))
          expect(Number(headers['x-mirrorgate-items'])).toBeGreaterThan(0)
        }
      }
    }
  })

  test('a repeated batch is the same delivery under the same id', async () => {
    const batch = makeBatch(leg, 1, 3)
    collector.behave(answer(503))
    await failureOf(open.sink.write(batch, never))
    collector.behave(about.accepts ?? accept)
    await open.sink.write(batch, never)
    const [first, second] = collector.deliveries
    const same = about.repeats ?? (({ body }: Delivery) => body)
    expect(second && same(second)).toEqual(first && same(first))
    expect(second?.headers['x-mirrorgate-batch-id']).toBe(first?.headers['x-mirrorgate-batch-id'])
  })

  test('concurrent writes do not mix', async () => {
    const batches = Array.from({ length: 16 }, (_, n) => makeBatch(leg, n * 10, 10))
    await Promise.all(batches.map((batch) => open.sink.write(batch, never)))
    for (const batch of batches) {
      const id = batch.id
      const mine = collector.deliveries.filter(({ headers }) => headers['x-mirrorgate-batch-id'] === id)
      expect(mine.flatMap((delivery) => itemsOf(delivery, format))).toEqual(batch.values)
    }
  })

  const byStatus = describeStatuses(about, () => ({ open, leg, collector }))
  describeFailures(() => ({ collector, open, leg }), byStatus)

  test('closes more than once, and after failures', async () => {
    collector.behave(answer(500))
    await failureOf(open.sink.write(makeBatch(leg, 1, 1), never))
    await open.close()
    await open.sink.close()
  })
}

type Skippable = TestAPI | ReturnType<TestAPI['skipIf']>

/** What to call for rules of services that say by their status alone what they took. */
function describeStatuses<Options extends TObject>(
  { acknowledgedByBody }: Conformance<Options>,
  now: () => { collector: Collector; open: OpenSink; leg: LegSpec },
): Skippable {
  const byStatus = test.skipIf(acknowledgedByBody !== undefined)
  byStatus.each([200, 201, 202, 204])('%i acknowledges', async (status) => {
    const { collector, open, leg } = now()
    collector.behave(answer(status))
    await open.sink.write(makeBatch(leg, 1, 1), never)
  })
  return byStatus
}

function describeFailures(
  now: () => { collector: Collector; open: OpenSink; leg: LegSpec },
  byStatus: Skippable,
): void {
  const statuses = [
    300, 301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 422, 425, 429, 500, 502,
    503, 504,
  ]

  test.each(statuses)('%i means what the outcome table says, and nothing else is asked', async (status) => {
    const { collector, open, leg } = now()
    collector.behave(answer(status, { location: '/elsewhere', 'retry-after': '3' }, `no, ${secret}`))
    const error = await failureOf(open.sink.write(makeBatch(leg, 1, 1), never))
    expect(error).toMatchObject({ kind: outcomeOfStatus(status), status, retryAfterMs: 3000 })
    expect(collector.deliveries).toHaveLength(1)
  })

  const unanswered: [string, Behaviour][] = [
    ['resets before its answer', resetBeforeHead],
    ['says nothing until the signal', hang],
  ]
  test.each(unanswered)('a collector that %s: retry', async (_what, behaviour) => {
    const { collector, open, leg } = now()
    collector.behave(behaviour)
    const patience = AbortSignal.timeout(100)
    expect((await failureOf(open.sink.write(makeBatch(leg, 1, 1), patience))).kind).toBe('retry')
  })

  const acknowledged: [string, Behaviour][] = [
    ['resets in its answer', resetInBody],
    ['stops after its head', hangAfterHead],
    ['answers byte by byte', answerByteByByte],
  ]
  byStatus.each(acknowledged)(
    'a collector that says 200 and then %s has accepted',
    async (_what, behaviour) => {
      const { collector, open, leg } = now()
      collector.behave(behaviour)
      await open.sink.write(makeBatch(leg, 1, 1), AbortSignal.timeout(100))
    },
  )

  byStatus('an acceptance without end is not read', async () => {
    const { collector, open, leg } = now()
    collector.behave(answerWithoutEnd)
    await open.sink.write(makeBatch(leg, 1, 1), never)
  })

  test('a refusal without end is neither read nor kept', async () => {
    const { collector, open, leg } = now()
    collector.behave((response, delivery) => {
      response.statusCode = 500
      answerWithoutEnd(response, delivery)
    })
    const error = await failureOf(open.sink.write(makeBatch(leg, 2, 1), never))
    expect(Buffer.byteLength(error.answer ?? '')).toBeLessThanOrEqual(limits.answer_kept_bytes)
  })

  test('nobody listens: retry', async () => {
    const { collector, open, leg } = now()
    await collector.close()
    expect(await failureOf(open.sink.write(makeBatch(leg, 1, 1), never))).toMatchObject({
      kind: 'retry',
      network: true,
    })
  })
}

function describeStored<Options extends TObject>(
  about: Conformance<Options>,
  out: OptOut,
  format: ItemFormat,
): void {
  let open: OpenSink
  let leg: LegSpec

  beforeEach(async () => {
    open = await openSink(about, format, 'http://127.0.0.1:9')
    leg = open.legs[0] as LegSpec
  })
  afterEach(() => open.close())

  test.skip(`answers of a collector (${out.because})`, () => undefined)

  const { stored } = about
  if (typeof stored !== 'function') {
    if (!stored?.because) throw new Error('a sink that cannot be read back must say why, got nothing')
    test.skip(`items at the destination (${stored.because})`, () => undefined)
  } else {
    test('stores every item once, in order', async () => {
      const values: unknown[] = []
      for (const count of [1, 2, 500]) {
        const batch = makeBatch(leg, count * 1000, count)
        await open.sink.write(batch, never)
        values.push(...batch.values)
      }
      expect(await stored()).toEqual(values)
    })

    test('concurrent writes do not mix', async () => {
      const batches = Array.from({ length: 16 }, (_, n) => makeBatch(leg, n * 100, 50))
      await Promise.all(batches.map((batch) => open.sink.write(batch, never)))
      const all = await stored()
      const runs = Array.from({ length: 16 }, (_, n) => JSON.stringify(all.slice(n * 50, n * 50 + 50)))
      expect(runs.sort()).toEqual(batches.map(({ values }) => JSON.stringify(values)).sort())
    })
  }

  test('accepts concurrent writes, and closes more than once', async () => {
    await Promise.all([1, 2, 3].map((n) => open.sink.write(makeBatch(leg, n, 2), never)))
    await open.sink.close()
    await open.sink.close()
  })
}
