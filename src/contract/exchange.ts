/**
 * The exchange as it travels: what a data thread captures, and the items that a collector receives
 * (contract §3).
 */

import type { GatewayErrorCode } from './errors.ts'

export const outcomes = [
  'complete',
  'client_aborted',
  'upstream_error',
  'timeout',
  'rejected',
  'upgraded',
] as const
export type Outcome = (typeof outcomes)[number]

/** One captured body. */
export interface CapturedBody {
  /** First bytes, at most the largest `body_bytes` of the mirrors that take this exchange. */
  readonly bytes: Buffer
  /** True size after transfer-coding and before content-decoding. */
  readonly size: number
  /** Whether memory, not `body_bytes`, cut it. */
  readonly limited: boolean
}

/**
 * One captured exchange, as the recorder reads it from a slab. Header lists are flat: name, value, name,
 * value.
 */
export interface CapturedExchange {
  readonly id: string
  /** Start, Unix milliseconds. */
  readonly startedAt: number
  /** Head of the answer seen, Unix milliseconds; 0 when there was none. */
  readonly answeredAt: number
  readonly durationMs: number
  readonly upstreamMs: number
  readonly outcome: Outcome
  /** Of the answer that the gateway made itself; null where the upstream's went out. */
  readonly errorCode: GatewayErrorCode | null
  readonly collection: string
  readonly upstream: string
  readonly clientIp: string
  readonly clientPort: number
  readonly scheme: 'http' | 'https'
  readonly method: string
  readonly host: string
  /** Path and query as the client sent them. */
  readonly target: string
  readonly requestVersion: string
  readonly requestHeaders: readonly string[]
  readonly requestTrailers: readonly string[]
  readonly requestBody: CapturedBody
  /** Null when the client left before any answer. */
  readonly status: number | null
  readonly responseVersion: string
  readonly responseHeaders: readonly string[]
  readonly responseTrailers: readonly string[]
  readonly responseBody: CapturedBody
  /** Counter slots of the mirrors that take it. */
  readonly mirrors: readonly number[]
}

export type HeaderPairs = [name: string, value: string][]

export interface BodyFields {
  body: string | null
  body_encoding: 'utf8' | 'base64' | 'none'
  body_bytes: number
  truncated: boolean
  decoded_from?: string
  decode_error?: string
  redacted?: true
  omitted?: 'not_redactable'
  capture_limited?: true
  trailers?: HeaderPairs
}

export interface RequestPart extends BodyFields {
  method: string
  scheme: string
  host: string
  path: string
  query: string
  http_version: string
  headers: HeaderPairs
}

export interface ResponsePart extends BodyFields {
  status: number | null
  http_version: string
  headers: HeaderPairs
}

interface ItemHead {
  id: string
  ts: string
  environment: string
  collection: string
}

/** Item of a `request` leg. */
export interface RequestItem extends ItemHead {
  client: { ip: string; port: number }
  traceparent?: string
  request: RequestPart
}

/** Item of a `response` leg. */
export interface ResponseItem extends ItemHead {
  outcome: Outcome
  duration_ms: { total: number; upstream: number }
  upstream: string
  response: ResponsePart
}

/** Item of an `exchange` leg: both halves. */
export interface ExchangeItem extends ItemHead {
  client: { ip: string; port: number }
  traceparent?: string
  outcome: Outcome
  duration_ms: { total: number; upstream: number }
  upstream: string
  request: RequestPart
  response: ResponsePart
}
