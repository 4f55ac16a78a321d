/** A destination of the sink `http`: keeps the exchanges of every batch, whatever its form and coding. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { ExchangeItem } from '../../src/contract/exchange.ts'
import { type Received, startUpstream } from './upstream.ts'
import { until } from './wait.ts'

export interface ExchangeBatch {
  readonly headers: Received['headers']
  readonly rawHeaders: readonly string[]
  /** After its content-encoding was undone. */
  readonly text: string
  readonly items: readonly ExchangeItem[]
}

export interface ExchangeCollector {
  readonly url: string
  readonly batches: ExchangeBatch[]
  items(): ExchangeItem[]
  /** The exchange with this path, once it is here. */
  of(path: string): Promise<ExchangeItem>
}

export async function startExchangeCollector(): Promise<ExchangeCollector> {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => {
      // Its body was put together by the listener that records it, a moment later.
      setImmediate(() => {
        const received = upstream.received.find((entry) => entry.rawHeaders === request.rawHeaders)
        collector.batches.push(batchOf(received as Received))
        response.writeHead(204).end()
      })
    })
  })
  const items = () => collector.batches.flatMap((batch) => batch.items)
  const collector: ExchangeCollector = {
    url: upstream.url,
    batches: [],
    items,
    of: (path) =>
      until(() => items().find(({ request }) => request.path === path), {
        what: `the exchange of ${path} arrives`,
      }),
  }
  return collector
}

function batchOf({ headers, rawHeaders, body }: Received): ExchangeBatch {
  const bytes = body ?? Buffer.alloc(0)
  const coding = headers['content-encoding']
  const plain = coding === 'gzip' ? gunzipSync(bytes) : coding === 'zstd' ? zstdDecompressSync(bytes) : bytes
  const text = plain.toString()
  const lines = headers['content-type'] === 'application/x-ndjson'
  const items = lines
    ? text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as ExchangeItem)
    : (JSON.parse(text) as ExchangeItem[])
  return { headers, rawHeaders, text, items }
}
