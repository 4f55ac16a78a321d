/** Calls of the admin port with headers of their own, and definitions for tests to create. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestGateway } from './gateway.ts'

type Json = Record<string, unknown>

export interface ApiAnswer {
  readonly status: number
  readonly etag: string | null
  readonly location: string | null
  readonly text: string
  readonly json: Json
}

export interface ApiCall {
  readonly body?: unknown
  readonly ifMatch?: string
  readonly type?: string
}

/** Any call with the gateway's own admin token, any status. */
export async function ask(
  { adminPort, dataDir }: TestGateway,
  method: string,
  path: string,
  { body, ifMatch, type = 'application/json' }: ApiCall = {},
): Promise<ApiAnswer> {
  const token = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim()
  const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      ...(body === undefined ? {} : { 'content-type': type }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
  return {
    status: response.status,
    etag: response.headers.get('etag'),
    location: response.headers.get('location'),
    text,
    json: isJson ? (JSON.parse(text) as Json) : {},
  }
}

/** A mirror to a SALT-style collector, with short times. */
export function saltMirror(name: string, connection: string, more: Json = {}): Json {
  return {
    name,
    sink: 'salt',
    connection,
    request_url: '/requests',
    response_url: '/responses',
    batch: { max_wait_ms: 50 },
    retry: { attempts: 2, min_wait_ms: 100, max_wait_ms: 500, probe_ms: 300 },
    timeout_ms: 2000,
    ...more,
  }
}
