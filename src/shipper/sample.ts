/**
 * The marked sample that `POST /api/mirrors/:name/test` sends: an item of the leg's shape, with nothing
 * real in it.
 */
import { randomUUIDv7 } from 'node:crypto'
import type { ExchangeItem, RequestPart, ResponsePart } from '../contract/exchange.ts'
import type { Half } from '../contract/plugin.ts'

const noBody = { body: null, body_encoding: 'none', body_bytes: 0, truncated: false } as const

const request: RequestPart = {
  method: 'GET',
  scheme: 'http',
  host: 'mirrorgate.test',
  path: '/mirrorgate-test',
  query: '',
  http_version: '1.1',
  headers: [['host', 'mirrorgate.test']],
  ...noBody,
}
const response: ResponsePart = { status: 204, http_version: '1.1', headers: [], ...noBody }

/** One NDJSON line. */
export function sampleItem(half: Half, environment: string): string {
  const item: ExchangeItem & { test: true } = {
    test: true,
    id: randomUUIDv7(),
    ts: new Date().toISOString(),
    environment,
    collection: 'mirrorgate-test',
    client: { ip: '127.0.0.1', port: 0 },
    outcome: 'complete',
    duration_ms: { total: 0, upstream: 0 },
    upstream: '',
    request,
    response,
  }
  const { client, outcome, duration_ms, upstream, request: asked, response: answered, ...head } = item
  if (half === 'request') return `${JSON.stringify({ ...head, client, request: asked })}\n`
  if (half === 'response') {
    return `${JSON.stringify({ ...head, outcome, duration_ms, upstream, response: answered })}\n`
  }
  return `${JSON.stringify(item)}\n`
}
