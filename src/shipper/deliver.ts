/**
 * Sends one batch, in a shipper thread: reads it, finds its sink, writes within the time-out, and says what
 * came of it. A batch is retried elsewhere; here nothing is kept but the open sinks.
 */
import { batchBuffers } from '../contract/buffers.ts'
import { OutcomeError } from '../contract/errors.ts'
import { acknowledgementOf, createSinkHttp } from '../contract/http.ts'
import { limits } from '../contract/limits.ts'
import type { Batch, Sink, SinkDefinition } from '../contract/plugin.ts'
import { scrubber } from '../contract/scrub.ts'
import type { FrameMeta, LogRange, ShipResult, ShipTask, SpoolRange, Target } from '../contract/tasks.ts'
import { markBatch } from '../queue/spool.ts'
import { readRange } from '../queue/spool-reader.ts'
import { renderEvents } from '../render/events.ts'
import type { ActivityRuns } from '../store/activity/runs.ts'
import { lineSigner } from './line-signer.ts'

interface OpenSink {
  readonly owner: string
  readonly sink: Promise<Sink>
  close(): Promise<void>
  writes: number
  /** No new write comes: it is closed when its last one ends. */
  retired: boolean
}

interface Payload {
  readonly ndjson: Buffer
  readonly items: number
  readonly corrupt: readonly FrameMeta[]
}

type Failure = Extract<ShipResult, { ok: false }>

let definitions: ReadonlyMap<string, SinkDefinition> = new Map()
/** By `Target.key`, the least recently used first. */
const openSinks = new Map<string, OpenSink>()

/** The plugins of this thread; the entry of the pool calls it once. */
export function configureSinks(sinks: readonly SinkDefinition[]): void {
  definitions = new Map(sinks.map((definition) => [definition.name, definition]))
}

/** Delivers one batch. Never rejects: whatever happens is in the result. */
export async function deliver(task: ShipTask): Promise<ShipResult> {
  const { source } = task
  if ('ndjson' in source) {
    const payload = { ndjson: Buffer.from(source.ndjson), items: source.items, corrupt: [] }
    return (await send(task, payload)).result
  }
  const memory = batchBuffers.lend('log' in source ? source.bytes + 1 : source.to - source.from)
  let sent = false
  try {
    const delivered = await readAndSend(task, source, memory)
    sent = delivered.sent
    return delivered.result
  } finally {
    batchBuffers.end(memory, sent)
  }
}

interface Delivered {
  readonly result: ShipResult
  /** Nobody reads the payload any more. After a failure nobody knows: a sink may not have stopped. */
  readonly sent: boolean
}

const unsent = (result: ShipResult): Delivered => ({ result, sent: false })

async function readAndSend(
  task: ShipTask,
  source: SpoolRange | LogRange,
  memory: Buffer,
): Promise<Delivered> {
  let payload: Payload
  try {
    payload = await ('log' in source ? readLog(source, memory) : read(source, memory))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    // A file that is gone does not come back: its items are lost, and counted as such.
    const what = 'log' in source ? 'the activity log' : 'the spool'
    return unsent(failure(code === 'ENOENT' ? 'corrupt' : 'retry', `reading ${what}: ${code}`))
  }
  if (payload.corrupt.length > 0) {
    const damaged = failure('corrupt', 'the range holds damaged or missing items')
    return unsent({ ...damaged, corrupt: payload.corrupt })
  }
  if (payload.items === 0) return unsent(failure('bug', 'the range holds no items'))
  return send(task, payload)
}

/** Throws an OutcomeError: what cannot be rendered now may be when a file or a template is mended. */
function rendered(events: Buffer, { render }: Target): Buffer {
  if (render === null) return events
  const { signingKeyFile: file } = render
  try {
    return renderEvents(events, render, file === null ? undefined : lineSigner(file))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new OutcomeError('retry', `rendering the batch: ${reason}`, { cause: error })
  }
}

async function send(task: ShipTask, { ndjson: raw, items }: Payload): Promise<Delivered> {
  const { target } = task
  const started = performance.now()
  const keeps = task.keepItem && items === 1
  if (keeps) batchBuffers.preserve(raw)
  try {
    const ndjson = rendered(raw, target)
    const batch: Batch = Object.freeze({
      id: task.batchId,
      mirror: target.mirror,
      leg: task.leg,
      items,
      ndjson,
    })
    await write(target, batch, task.timeoutMs)
    const latencyMs = performance.now() - started
    const answer = acknowledgementOf(batch)
    const result = { ok: true, status: answer?.status ?? null, latencyMs, bytes: ndjson.length } as const
    return { result, sent: answer?.sent ?? true }
  } catch (error) {
    // As it was before it was rendered: it is again when it is sent again.
    const item = keeps ? raw.toString().trimEnd() : null
    return unsent({ ...explain(error, scrubber(target)), latencyMs: performance.now() - started, item })
  }
}

/** Closes every sink of this thread, the busy ones after their last write. */
export async function closeSinks(): Promise<void> {
  await Promise.all([...openSinks.keys()].map(retire))
}

async function read(source: SpoolRange, memory: Buffer): Promise<Payload> {
  const { itemFrom, itemTo } = source
  if (source.mark) tryToMark(source)
  const range = await readRange(source, memory)
  return range.corrupt.length > 0 ? range : itemsOf(range, itemFrom, itemTo)
}

/** A disk that refuses must not stop deliveries: after a crash the batch may then come under another id. */
function tryToMark({ path, from, to }: SpoolRange): void {
  try {
    markBatch(path, from, to - from)
  } catch {
    // Whether the file can be read is found out next.
  }
}

let runs: ActivityRuns | null = null

/** Entries that were counted and are gone make the range unreadable: whoever counted them must know. */
async function readLog(source: LogRange, memory: Buffer): Promise<Payload> {
  const { log, from, to, items, itemFrom, itemTo } = source
  // Most gateways have no stream of the log, and no use for LMDB in this thread.
  const { ActivityRuns } = await import('../store/activity/runs.ts')
  runs ??= new ActivityRuns(log.dataDir)
  const range = runs.read({ from, to, filter: log.filter }, memory)
  const missing = { offset: from, length: range.firstStanding - from, items: 0, oldest: 0, newest: 0 }
  if (range.items !== items) return { ...range, corrupt: [missing] }
  return itemsOf({ ...range, corrupt: [] }, itemFrom, itemTo)
}

function itemsOf(range: Payload, itemFrom: number, itemTo: number): Payload {
  if (itemFrom === 0 && itemTo >= range.items) return range
  const start = afterItems(range.ndjson, 0, itemFrom)
  const end = afterItems(range.ndjson, start, itemTo - itemFrom)
  const items = Math.max(0, Math.min(itemTo, range.items) - itemFrom)
  return { ndjson: range.ndjson.subarray(start, end), items, corrupt: [] }
}

/** Offset behind so many lines. */
function afterItems(ndjson: Buffer, from: number, items: number): number {
  let at = from
  for (let seen = 0; seen < items; seen += 1) {
    const newline = ndjson.indexOf(0x0a, at)
    if (newline === -1) return ndjson.length
    at = newline + 1
  }
  return at
}

async function write(target: Target, batch: Batch, timeoutMs: number): Promise<void> {
  const open = acquire(target)
  open.writes += 1
  const timeout = new AbortController()
  const { signal } = timeout
  const bound = Promise.withResolvers<never>()
  const giveUp = (): void =>
    bound.reject(new OutcomeError('retry', `timed out after ${timeoutMs} ms, and the sink did not stop`))
  // Not AbortSignal.timeout: nobody can end that early, and every one of them makes an error at its end.
  let timer = setTimeout(() => {
    timer = setTimeout(giveUp, limits.sink_grace_ms)
    timeout.abort(new DOMException(`timed out after ${timeoutMs} ms`, 'TimeoutError'))
  }, timeoutMs)
  const writing = open.sink.then((sink) => {
    signal.throwIfAborted()
    return sink.write(batch, signal)
  })
  try {
    await Promise.race([writing, bound.promise])
  } catch (error) {
    // A sink that lets the abort through unchanged has behaved well.
    if (signal.aborted && (error === signal.reason || (error as Error)?.name === 'AbortError')) {
      throw new OutcomeError('retry', `timed out after ${timeoutMs} ms`, { cause: error })
    }
    throw error
  } finally {
    clearTimeout(timer)
    open.writes -= 1
    // Not awaited: a sink that hangs in close must not hold the result of a write that has ended.
    if (open.retired && open.writes === 0) void open.close()
  }
}

/**
 * The sink of a target, opened if need be. A sink that cannot be opened is forgotten, so that the next try
 * opens anew.
 */
function acquire(target: Target): OpenSink {
  const known = openSinks.get(target.key)
  if (known !== undefined) {
    openSinks.delete(target.key)
    openSinks.set(target.key, known)
    return known
  }
  for (const [key, open] of openSinks) if (open.owner === target.owner) void retire(key)
  for (const [key, open] of openSinks) {
    if (openSinks.size < limits.sinks_per_thread_max) break
    if (open.writes === 0) void retire(key)
  }
  const opened = openSink(target)
  openSinks.set(target.key, opened)
  opened.sink.catch(() => {
    if (openSinks.get(target.key) === opened) openSinks.delete(target.key)
    opened.retired = true
  })
  return opened
}

function openSink(target: Target): OpenSink {
  const made = makeSink(target)
  const close = async () => {
    const open = await made.catch(() => null)
    try {
      await open?.sink.close()
    } catch {
      // A sink that cannot even close has no leg to tell; its sockets go in any case.
    }
    await open?.host.close()
  }
  return { owner: target.owner, sink: made.then(({ sink }) => sink), close, writes: 0, retired: false }
}

async function makeSink(target: Target): Promise<{ sink: Sink; host: { close(): Promise<void> } }> {
  const definition = definitions.get(target.sink)
  if (definition === undefined) throw new OutcomeError('refused', `there is no sink named ${target.sink}`)
  const host = createSinkHttp(target)
  try {
    const { mirror, options, format, compression, origin } = target
    const context = { mirror, options, format, compression, origin, http: host.http }
    return { host, sink: await definition.create(context) }
  } catch (error) {
    await host.close()
    throw error
  }
}

async function retire(key: string): Promise<void> {
  const open = openSinks.get(key)
  if (open === undefined) return
  openSinks.delete(key)
  open.retired = true
  if (open.writes === 0) await open.close()
}

function failure(kind: Failure['kind'], message: string): Failure {
  return {
    ok: false,
    kind,
    message,
    status: null,
    retryAfterMs: null,
    answer: null,
    network: false,
    latencyMs: 0,
    item: null,
    corrupt: [],
  }
}

/** What a sink threw, without the secrets of its connection. */
function explain(error: unknown, scrub: (text: string) => string): Failure {
  if (!(error instanceof OutcomeError)) {
    const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return failure('bug', `the sink threw ${scrub(said).slice(0, limits.answer_kept_bytes)}`)
  }
  const { kind, status, retryAfterMs, answer, network } = error
  const message = scrub(error.message).slice(0, limits.answer_kept_bytes)
  return {
    ...failure(kind, message),
    status,
    retryAfterMs,
    answer: answer === null ? null : scrub(answer).slice(0, limits.answer_kept_bytes),
    network,
  }
}
