/**
 * The error tables: what a client is answered by the gateway itself, and what a sink may throw.
 * A test holds both against docs/reference.md.
 */

/** Answers that the gateway makes itself (contract §3): code → HTTP status and the sentence in `message`. */
export const gatewayErrors = Object.freeze({
  bad_request: { status: 400, message: 'the request is not valid HTTP' },
  no_route: { status: 404, message: 'no collection matches this host and path' },
  method_not_allowed: { status: 405, message: 'this method is not allowed here' },
  request_timeout: { status: 408, message: 'the request took too long to arrive' },
  body_too_large: { status: 413, message: 'the request body is larger than this collection allows' },
  expectation_failed: { status: 417, message: 'only the expectation 100-continue is supported' },
  headers_too_large: { status: 431, message: 'the request head is larger than this gateway allows' },
  upstream_unreachable: { status: 502, message: 'the upstream cannot be reached' },
  upstream_reset: { status: 502, message: 'the upstream closed the connection before it answered' },
  upstream_protocol_error: { status: 502, message: 'the upstream answered with invalid HTTP' },
  no_healthy_upstream: { status: 503, message: 'no upstream of this collection is available' },
  overloaded: { status: 503, message: 'the gateway has no capacity for this request' },
  draining: { status: 503, message: 'the gateway is shutting down' },
  upstream_timeout: { status: 504, message: 'the upstream took too long to answer' },
} as const)

export type GatewayErrorCode = keyof typeof gatewayErrors

/** What a failed write means for its leg (design, Shipper). */
export type OutcomeKind = 'retry' | 'unauthorized' | 'not_found' | 'too_large' | 'rejected' | 'refused'

/**
 * A failed delivery whose meaning is known. Sinks throw it; anything else that they throw is a bug and is
 * reported as one (and retried, so that nothing is lost).
 *
 * - `retry`: network error, time-out, 408, 425, 429, 5xx: try again by the policy
 * - `unauthorized`: 401, 403: park at once, probe
 * - `not_found`: 404, 410: park at once, probe
 * - `refused`: any other answer that is not 2xx (redirects, 405, 415 …): a person must act: park at once,
 *   probe
 * - `too_large`: 413: split the batch; a single item goes to the dead letters
 * - `rejected`: 400, 422: isolate the item by halving; it goes to the dead letters
 */
export class OutcomeError extends Error {
  override readonly name = 'OutcomeError'
  readonly kind: OutcomeKind
  readonly status: number | null
  /** Wait that the collector asked for, in milliseconds. */
  readonly retryAfterMs: number | null
  /** First bytes of its answer, as text. */
  readonly answer: string | null
  /**
   * Whether no connection came about (refused, unreachable, DNS, TLS): a probe that connects says when it
   * can.
   */
  readonly network: boolean

  constructor(
    kind: OutcomeKind,
    message: string,
    detail: {
      status?: number | null
      retryAfterMs?: number | null
      answer?: string | null
      network?: boolean
      cause?: unknown
    } = {},
  ) {
    super(message, { cause: detail.cause })
    this.kind = kind
    this.status = detail.status ?? null
    this.retryAfterMs = detail.retryAfterMs ?? null
    this.answer = detail.answer ?? null
    this.network = detail.network ?? false
  }
}

/** RFC 9110 §15: the meaning of a collector's status; null for 2xx, which alone acknowledges. */
export function outcomeOfStatus(status: number): OutcomeKind | null {
  if (status >= 200 && status < 300) return null
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 404 || status === 410) return 'not_found'
  if (status === 413) return 'too_large'
  if (status === 400 || status === 422) return 'rejected'
  if (status === 408 || status === 425 || status === 429 || status >= 500) return 'retry'
  return 'refused'
}

/** Why an item was dropped (contract §4). */
export const dropReasons = [
  'buffer_full',
  'spool_full',
  'spool_error',
  'spool_corrupt',
  'expired',
  'worker_crash',
  'item_too_large',
  'capture_error',
  'purged',
] as const
export type DropReason = (typeof dropReasons)[number]

/** A start that cannot go on: the sentence says which thing, and what to do (exit code 3). */
export class StartError extends Error {
  override readonly name = 'StartError'
}

/** The disk has too little room: nothing was written, reads go on (507). */
export class StorageFullError extends Error {
  override readonly name = 'StorageFullError'
}

/** This process has counted for as many names as it can: a restart frees those that are gone (409). */
export class NamesSpentError extends Error {
  override readonly name = 'NamesSpentError'
}

/** More is waiting than may wait: nothing was done, later it can be (503). */
export class BusyError extends Error {
  override readonly name = 'BusyError'
}

/** As many searches for text run as may: later this one can (429). */
export class SearchBusyError extends Error {
  override readonly name = 'SearchBusyError'
}

/** A search for text took longer than it may: a narrower one would not (422). */
export class SearchTooLongError extends Error {
  override readonly name = 'SearchTooLongError'
}

/** The same idempotency key came with another body (409). */
export class IdempotencyError extends Error {
  override readonly name = 'IdempotencyError'
}

/** An entry of the activity log is larger than a page or an export could carry (413). */
export class EntryTooLargeError extends Error {
  override readonly name = 'EntryTooLargeError'
}
