/** What every sink of an object store is tried with: the sink over TLS, and the files that it stores. */
import { expect } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import type { Sink, SinkContext, SinkHttp } from '../../src/contract/plugin.ts'
import { onEnd } from '../support/cleanup.ts'
import { caFile } from '../support/secrets/service.ts'
import { eventBatch, signIn, sinkContext, target } from './target.ts'

const never = new AbortController().signal

interface Definition<Options> {
  create(context: SinkContext<Options>): Sink | Promise<Sink>
}

/** Over the host's own client, with the authority of the fakes; closed after the test. */
export async function openSink<Options>(
  definition: Definition<Options>,
  options: Options,
  { compression = 'none', see = () => {} }: { compression?: 'none' | 'gzip'; see?: Seen } = {},
): Promise<Sink> {
  const host = createSinkHttp(target({}, { tls: { ca_file: caFile, verify: true } }))
  const send: SinkHttp['send'] = (request, signal) => {
    see(request)
    return host.http.send(request, signal)
  }
  const sink = await definition.create(sinkContext(options, { ...host.http, send }, { compression }))
  onEnd(async () => {
    await sink.close()
    await host.close()
  })
  return sink
}

type Seen = (request: Parameters<SinkHttp['send']>[0]) => void

/** A file for each event, of its name and type, and no other by a retry. */
export async function storesEachEvent(
  sink: Sink,
  stored: () => Promise<ReadonlyMap<string, { readonly body: Buffer; readonly type: unknown }>>,
): Promise<void> {
  const events = Array.from({ length: 40 }, (_, n) => ({ ...signIn, id: n, text: 'ü 💥 / \r\n--x' }))
  await sink.write(eventBatch('audit', events), never)
  await sink.write(eventBatch('audit', events), never)
  const files = await stored()
  expect(files.size).toBe(40)
  for (const [n, event] of events.entries()) {
    const file = files.get(`1/user_login/20261121/1-user_login-${n}-20261121080000-batch-1-${n}.json`)
    expect(JSON.parse(String(file?.body))).toEqual(event)
    expect(file?.type).toBe('application/json')
  }
}

/** A file goes out as the memory of its batch, not as a copy of it. */
export async function sendsNoCopy<Options>(definition: Definition<Options>, options: Options): Promise<void> {
  const sent: ArrayBufferLike[] = []
  const see: Seen = ({ body }) => {
    if (Buffer.isBuffer(body)) sent.push(body.buffer)
  }
  const sink = await openSink(definition, options, { see })
  const large = eventBatch('audit', [{ ...signIn, text: 'x'.repeat(100_000) }])
  await sink.write(large, never)
  expect(sent).toContain(large.ndjson.buffer)
}
