/**
 * The activity audit log as the rest of the gateway sees it: who did what to which resource. `src/store`
 * implements it; the shapes follow the printed examples of the environment-management API.
 */
import type { EnvironmentName } from './environments.ts'

/** A JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

export interface ActivityUser {
  /** 0 is the gateway itself. */
  readonly id: number
  readonly name: string
  readonly email: string
}

export interface ActivityResource {
  readonly id: number | string | null
  readonly name: string
  /** `Workspace`, `Mirror`, `Connection`, `Flow`, …: filters ignore its case. */
  readonly type: string
  readonly [field: string]: Json
}

/** An entry on its way into the log. */
export interface NewActivity {
  /** Unix milliseconds; when it happened, which may lie before its acceptance. Default: now. */
  readonly timestamp?: number
  readonly event_type: string
  readonly workspace: {
    readonly id: number
    readonly name: string
    readonly email: string
    readonly environment: EnvironmentName
  }
  readonly user: ActivityUser
  readonly details: {
    readonly request?: { readonly ip_address: string; readonly user_agent: string }
    readonly activity?: string
    readonly [field: string]: Json | undefined
  }
  readonly resource: ActivityResource
}

/** An entry as it is stored, answered and exported. */
export interface Activity extends Omit<NewActivity, 'timestamp'> {
  /** Ascending in the order of acceptance, from 1. */
  readonly id: number
  /** `2024-06-18 19:17:31 UTC` in answers; stored with milliseconds. */
  readonly timestamp: number
}

/** An entry with its place in the hash chain; both hex. */
export interface ChainedActivity extends Activity {
  readonly prev_hash: string
  readonly hash: string
}

/** All filters hold together; a list holds when one of it does. Types ignore case. */
export interface ActivityFilter {
  readonly environment: EnvironmentName
  /** Unix milliseconds, inclusive. */
  readonly from?: number
  readonly to?: number
  readonly users?: readonly number[]
  readonly includeResourceTypes?: readonly string[]
  readonly excludeResourceTypes?: readonly string[]
  readonly includeEventTypes?: readonly string[]
  readonly excludeEventTypes?: readonly string[]
  /** Text that the stored entry must hold, ignoring case. */
  readonly text?: string
}

/** What streams ask of each entry. */
export interface EntryFilter extends ActivityFilter {
  /** Sign-ins at these portals alone (`details.portal_id`). */
  readonly portals?: readonly string[]
}

export interface ActivityPage extends ActivityFilter {
  /** Newest first: ids below it; oldest first: ids above it. */
  readonly after?: number
  readonly size: number
  readonly order: 'desc' | 'asc'
}

export interface ActivityStats {
  readonly total: number
  readonly by_type: Readonly<Record<string, number>>
  /** By day in UTC, `2026-11-21`. */
  readonly by_day: Readonly<Record<string, number>>
}

/** Who repeats a request under the same key gets the same ids. */
export interface IdempotencyKey {
  readonly client: string
  readonly key: string
  /** SHA-256 of the body: the same key with another body is refused. */
  readonly digest: string
}

/**
 * Queries with a text reject with `SearchBusyError` and `SearchTooLongError`; any query rejects with the
 * reason of its signal soon after that was aborted.
 */
export interface ActivityLog {
  /**
   * Resolves with the ids once the entries are durable. Rejects with `StorageFullError` when the disk is
   * full (nothing was written), with `IdempotencyError` when the key was used with another body.
   */
  append(entries: readonly NewActivity[], key?: IdempotencyKey): Promise<number[]>
  /** `total` counts all matches, whatever the page. */
  page(
    page: ActivityPage,
    signal?: AbortSignal,
  ): Promise<{ readonly data: Activity[]; readonly total: number }>
  entry(id: number, environment: EnvironmentName): Promise<ChainedActivity | null>
  /** Oldest first, as it was when the call began; never holds more than a few thousand entries in memory. */
  entries(filter: ActivityFilter, signal?: AbortSignal): AsyncIterable<ChainedActivity>
  /**
   * The same as lines of an export, without newlines: the bytes that are chained, to be checked elsewhere;
   * the last line is a signed checkpoint that was made just before, so that a missing end would show.
   */
  lines(filter: ActivityFilter, signal?: AbortSignal): AsyncIterable<string>
  stats(filter: ActivityFilter, signal?: AbortSignal): Promise<ActivityStats>
  /** Public keys of the checkpoints (RFC 7517, RFC 8037). */
  jwks(): { readonly keys: readonly Record<string, string>[] }
}
