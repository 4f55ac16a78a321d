/**
 * A fake of Azure Monitor's Logs Ingestion API, which no emulator has: it refuses what the service refuses,
 * and does to rows what the service does without a word (values are cut, columns that nobody declared go).
 */
import { gunzipSync } from 'node:zlib'
import { type Asked, type Reply, type Service, startService } from '../secrets/service.ts'
import type { FakeEntra } from '../entra.ts'

export type Row = Readonly<Record<string, unknown>>

export interface FakeMonitor extends Service {
  readonly rule: string
  readonly stream: string
  /** What the table holds, in order. */
  readonly rows: Row[]
  /** Columns that the rule declares; null = whatever comes. */
  columns: readonly string[] | null
  /** Whether the application has its role on the rule. */
  permitted: boolean
}

const MIB = 1_048_576
const VALUE_BYTES_MAX = 65_536

export async function startFakeMonitor(entra: FakeEntra): Promise<FakeMonitor> {
  const service = await startService((asked) => answer(monitor, entra, asked))
  const monitor: FakeMonitor = Object.assign(service, {
    rule: `dcr-${'0123456789abcdef'.repeat(2)}`,
    stream: 'Custom-Audit_CL',
    rows: [],
    columns: null,
    permitted: true,
  })
  return monitor
}

const refuse = (status: number, code: string, message = ''): Reply => ({
  status,
  body: { error: { code, message } },
})

function answer(monitor: FakeMonitor, entra: FakeEntra, { method, url, headers, bytes }: Asked): Reply {
  const [, area, rule, streams, stream] = url.pathname.split('/')
  if (method !== 'POST' || area !== 'dataCollectionRules' || streams !== 'streams')
    return { status: 404, body: '' }
  if (url.searchParams.get('api-version') !== '2023-01-01') return refuse(400, 'UnsupportedApiVersion')
  const wrong = tokenProblem(headers.authorization, entra)
  if (wrong !== null) return refuse(401, 'InvalidAuthenticationToken', wrong)
  if (rule !== monitor.rule) return refuse(404, 'NotFound', `immutable Id '${rule}' not found`)
  if (!monitor.permitted) {
    const said = 'does not have access to ingest data for the data collection rule'
    return refuse(403, 'OperationFailed', `The authentication token ${headers.authorization} ${said}`)
  }
  if (stream !== monitor.stream) return refuse(400, 'InvalidStream', `stream ${stream} is not declared`)
  if (headers['content-type'] !== 'application/json') return refuse(415, 'UnsupportedMediaType')
  const body = headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
  if (bytes.length > MIB || body.length > MIB) return refuse(413, 'ContentLengthLimitExceeded')
  const rows = parsed(body)
  if (rows === null) return refuse(400, 'InvalidPayload', 'not a JSON array of objects')
  monitor.rows.push(...rows.map((row) => stored(row, monitor.columns)))
  return { status: 204 }
}

function tokenProblem(authorization: string | undefined, { audience, tenant }: FakeEntra): string | null {
  const [, claims = ''] = /^Bearer [\w-]+\.([\w-]+)\.$/.exec(authorization ?? '') ?? []
  if (claims === '') return 'no token'
  const { aud, tid, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>
  if (aud !== audience || tid !== tenant) return 'for somebody else'
  return Number(exp) * 1000 < Date.now() ? 'expired' : null
}

function parsed(body: Buffer): Row[] | null {
  try {
    const rows: unknown = JSON.parse(body.toString())
    const objects = Array.isArray(rows) && rows.every((row) => typeof row === 'object' && row !== null)
    return objects ? (rows as Row[]) : null
  } catch {
    return null
  }
}

function stored(row: Row, columns: readonly string[] | null): Row {
  const kept = Object.entries(row).filter(([name]) => columns?.includes(name) ?? true)
  return Object.fromEntries(
    kept.map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value]),
  )
}

function cut(value: string): string {
  const bytes = Buffer.from(value)
  return bytes.length <= VALUE_BYTES_MAX ? value : bytes.subarray(0, VALUE_BYTES_MAX).toString()
}
