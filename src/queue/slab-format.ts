/**
 * The format of a slab: captured exchanges as binary records, one after the other, in memory that a data
 * thread and a recorder share, and that only one of them uses at a time. A record that is too large for it
 * travels alone, in memory of its own.
 *
 *   slab    ┌──────────┬──────────┬─────┐
 *           │ record 0 │ record 1 │ …   │ unused          each record begins at a multiple of 8
 *           └──────────┴──────────┴─────┘
 *   record  ┌────────┬──────────────┬──────┬──────────────┬───────────────┬─────┐
 *           │ fields │ mirror slots │ text │ request body │ response body │ pad │
 *           │ 144 B  │ 4 B each     │      │              │               │     │
 *           └────────┴──────────────┴──────┴──────────────┴───────────────┴─────┘
 *   text    ┌────────────────────────────────┬─────────────────┬──────────────────┬───────────┐
 *           │ strings of `stringAt`          │ request headers │ request trailers │ response… │
 *           │                                │ lines as on the wire: name, colon, value, CRLF │
 *           └────────────────────────────────┴─────────────────┴──────────────────┴───────────┘
 *
 * Text is latin1: a character is a byte. One write of one string costs a tenth of
 * forty, and lines that are copied as they came cost less than lists of them. Numbers are in the byte order
 * of the machine: a slab never leaves it.
 */
import { type GatewayErrorCode, gatewayErrors } from '../contract/errors.ts'

export const RECORD_MAGIC = 0x3247_4d58
/** Bytes of the fields, which are all that every record has. */
export const FIELDS_BYTES = 144

/** Positions in `Float64Array` units from the start of the record. */
export const at64 = {
  startedAt: 1,
  answeredAt: 2,
  durationMs: 3,
  upstreamMs: 4,
  requestSize: 5,
  responseSize: 6,
} as const
/** Positions in `Uint32Array` units from the start of the record. Of lists and strings: their bytes. */
export const at32 = {
  magic: 0,
  length: 1,
  requestKept: 14,
  responseKept: 15,
  textBytes: 16,
  status: 17,
  outcome: 18,
  flags: 19,
  clientPort: 20,
  requestHeaders: 21,
  requestTrailers: 22,
  responseHeaders: 23,
  responseTrailers: 24,
  mirrors: 25,
  /** And the others of `stringAt` behind it. */
  strings: 26,
} as const

export const REQUEST_LIMITED = 1
export const RESPONSE_LIMITED = 2
export const HAS_STATUS = 4
/** Above the flags: 1 + the place of the gateway's own error code, 0 for none. */
export const ERROR_CODE_SHIFT = 8
export const errorCodes = Object.keys(gatewayErrors) as GatewayErrorCode[]

/** Places of the strings that every record has, in their order. */
export const stringAt = {
  id: 0,
  collection: 1,
  upstream: 2,
  clientIp: 3,
  scheme: 4,
  method: 5,
  host: 6,
  target: 7,
  requestVersion: 8,
  responseVersion: 9,
} as const
export const STRINGS = 10
