/**
 * The marked sample that `POST /api/mirrors/:name/test` sends: an item of the leg's shape, with nothing
 * real in it.
 */
import { randomUUIDv7 } from 'node:crypto'
import type { MirrorConfig } from '../config/schema.ts'
import type { ExchangeItem, RequestPart, ResponsePart } from '../contract/exchange.ts'
import type { Half } from '../contract/plugin.ts'
import { itemRenderer } from '../render/items.ts'

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

/** One NDJSON line, in the mirror's format. */
export function sampleItem(
  half: Half,
  environment: string,
  { item_format, message }: Pick<MirrorConfig, 'item_format' | 'message'>,
): string {
  const render = itemRenderer(item_format, environment, message ?? null)
  const item = JSON.stringify(itemOf(half, environment))
  return `${render === null ? item : render(item)}\n`
}

function itemOf(half: Half, environment: string): object {
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
  if (half === 'request') return { ...head, client, request: asked }
  if (half === 'response') return { ...head, outcome, duration_ms, upstream, response: answered }
  return item
}
