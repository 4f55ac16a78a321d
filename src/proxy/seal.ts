/** The end of an exchange: its metrics, and its capture on the way into a slab. */
import type { GatewayErrorCode } from '../contract/errors.ts'
import type { Outcome } from '../contract/exchange.ts'
import {
  type UpstreamErrorReason,
  collectionCell,
  durationBucketsMs,
  statusClasses,
  upstreamErrorReasons,
} from '../telemetry/counters.ts'
import { unixTime } from './clock.ts'
import { fieldLines } from './headers.ts'
import type { Collection, Snapshot } from './snapshot.ts'
import type { Shared } from './shared.ts'
import type { Tap } from './tap.ts'

/**
 * What an exchange says of itself when it is over. Times are monotonic milliseconds; 0 = it did not come
 * that far.
 */
export interface Ended {
  readonly id: string
  readonly snapshot: Snapshot
  readonly collection: Collection | null
  readonly tap: Tap | null
  readonly startedAt: number
  readonly forwardedAt: number
  readonly answeredAt: number
  readonly upstreamEndedAt: number
  readonly outcome: Outcome
  readonly errorCode: GatewayErrorCode | null
  readonly upstreamName: string
  readonly clientIp: string
  readonly clientPort: number
  readonly scheme: 'http' | 'https'
  readonly method: string
  readonly host: string
  readonly target: string
  readonly version: string
  readonly requestLines: string
  readonly requestTrailers: readonly string[]
  readonly status: number | null
  readonly answerLines: string
  readonly answerTrailers: readonly string[]
}

export function countUpstreamError(
  cells: Float64Array,
  collection: Collection,
  reason: UpstreamErrorReason,
): void {
  cells[collection.cell + collectionCell.upstreamErrors + upstreamErrorReasons.indexOf(reason)]!++
}

function countEnd(
  cells: Float64Array,
  collection: Collection,
  status: number | null,
  durationMs: number,
): void {
  const last = statusClasses.length - 1
  const statusClass = status === null ? last : Math.min(last, Math.floor(status / 100) - 1)
  cells[collection.cell + collectionCell.statusClass + statusClass]!++
  cells[collection.cell + collectionCell.durationSumMs]! += durationMs
  let bucket = 0
  while (bucket < durationBucketsMs.length && durationMs > (durationBucketsMs[bucket] as number)) bucket++
  cells[collection.cell + collectionCell.durationBucket + bucket]!++
}

function capture(ended: Ended, tap: Tap, mirrors: readonly number[], shared: Shared, endedAt: number): void {
  const durationMs = endedAt - ended.startedAt
  tap.request.close()
  tap.response.close()
  const sealed = {
    id: ended.id,
    startedAt: unixTime(ended.startedAt),
    answeredAt: ended.answeredAt === 0 ? 0 : unixTime(ended.answeredAt),
    durationMs,
    upstreamMs: ended.forwardedAt === 0 ? 0 : (ended.upstreamEndedAt || endedAt) - ended.forwardedAt,
    outcome: ended.outcome,
    errorCode: ended.errorCode,
    collection: ended.collection?.name ?? '',
    upstream: ended.upstreamName,
    clientIp: ended.clientIp,
    clientPort: ended.clientPort,
    scheme: ended.scheme,
    method: ended.method,
    host: ended.host,
    target: ended.target,
    requestVersion: ended.version,
    requestLines: ended.requestLines,
    requestTrailers: fieldLines(ended.requestTrailers),
    requestBody: tap.request,
    status: ended.status,
    responseVersion: ended.status === null ? '' : '1.1',
    responseLines: ended.answerLines,
    responseTrailers: fieldLines(ended.answerTrailers),
    responseBody: tap.response,
    mirrors,
  }
  shared.slabs.seal(sealed, ended.snapshot.generation)
}

/** Counts the exchange and captures it. Never throws: a capture can fail, the exchange cannot (trap A3). */
export function seal(ended: Ended, shared: Shared): void {
  const endedAt = performance.now()
  if (ended.collection !== null)
    countEnd(shared.cells, ended.collection, ended.status, endedAt - ended.startedAt)
  const { tap } = ended
  if (tap === null) return
  let mirrors: readonly number[] | null = null
  try {
    mirrors = tap.mirrors.takers(ended.status, ended.answerLines, endedAt - ended.startedAt)
    if (mirrors.length > 0) capture(ended, tap, mirrors, shared, endedAt)
  } catch (error) {
    shared.slabs.failed(mirrors ?? tap.mirrors.slots)
    shared.warn('capture_error', error)
  }
  tap.release()
}
