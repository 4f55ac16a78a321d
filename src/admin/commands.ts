/**
 * What the admin port may ask of the gateway, and the shapes it answers with (contract §4).
 * `src/commands.ts` implements it; nothing else of the gateway is visible here.
 */
import type { Actor } from '../contract/audit-trail.ts'
import type { DropReason } from '../contract/errors.ts'
import type { Problem } from '../config/problems.ts'
import type { AdminConfig, Config } from '../config/schema.ts'
import type { ProviderView } from '../secrets/providers.ts'
import type { DeliveryKind } from '../contract/resources.ts'
import type { DeliveryCommands, StreamCommands } from './delivery-commands.ts'
import type { IncidentCommands } from './incident-commands.ts'
import type { ManagedBy, ResourceCommands } from './resource-commands.ts'

export const legStates = ['idle', 'delivering', 'retrying', 'parked', 'paused', 'disabled'] as const
export type LegState = (typeof legStates)[number]

export interface Counts {
  captured: number
  delivered: number
  waiting: number
  dead_lettered: number
  dropped: Partial<Record<DropReason, number>>
}

export interface LegView {
  name: string
  url: string
  state: LegState
  counts: Counts
  waiting_bytes: number
  oldest_waiting_at: string | null
  /** Items on disk: what would survive a kill now. */
  durable_items: number
  attempts: number
  last_attempt_at: string | null
  last_response_code: number | null
  last_error: string | null
  next_attempt_at: string | null
}

/** A mirror or a stream. */
export interface DeliveryView {
  name: string
  sink: string
  enabled: boolean
  state: LegState
  managed_by: ManagedBy
  counts: Counts
  legs: LegView[]
}

export interface CollectionView {
  name: string
  hosts: string[]
  prefix: string
  mirrors: string[]
  managed_by: ManagedBy
  upstreams: {
    url: string
    weight: number
    healthy: boolean
    requests_in_flight: number
    requests: number
    failures: number
  }[]
}

export interface DeadLetterView {
  id: string
  leg: string
  at: string
  reason: string
  status: number | null
  /** First 1 KiB of the destination's answer. */
  answer: string | null
  batch_id: string
  item: unknown
}

export interface StatusView {
  version: string
  node: string
  state: 'starting' | 'ready' | 'draining'
  uptime_seconds: number
  started_at: string
  environment: string
  unclean_shutdown: boolean
  threads: { data: number; recorder: number; shipper: number }
  config: {
    file: string
    loaded_at: string
    generation: number
    hash: string
    last_rejected: { at: string; problems: Problem[] } | null
  }
  capture: { paused: boolean; buffer_used_bytes: number; buffer_limit_bytes: number }
  /** Of mirrors; of streams apart. */
  totals: Counts & { streams: Counts; requests: number; rejected: number; connections_open: number }
  listen: { host: string; port: number }
  secrets: { entries: number; providers: ProviderView[] }
}

export interface TestResult {
  legs: { name: string; ok: boolean; status: number | null; latency_ms: number; error: string | null }[]
}

export type ReloadResult =
  | { ok: true; generation: number; hash: string; warnings: string[] }
  | { ok: false; problems: Problem[] }

/** A command that cannot be carried out now (409), with the sentence for the caller. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError'
}

/** What changes something is told who asks, and writes an entry of it into the activity log. */
export interface Commands {
  readonly resources: ResourceCommands
  readonly incidents: IncidentCommands
  config(): Config
  admin(): AdminConfig
  /** Where something of the configuration stands, by JSON pointer: `gateway.yaml:12`. */
  placeOf(pointer: string): string
  status(): StatusView
  /** Whether clients are served: not when a collector is down. */
  ready(): { status: 'ready' | 'starting' | 'draining'; reasons: string[] }
  collections(): CollectionView[]
  /** Mirrors, and streams. */
  readonly deliveries: Readonly<Record<DeliveryKind, DeliveryCommands>>
  /** What only streams have. */
  readonly streams: StreamCommands
  /** Posted events of a body, `lines` on lines of their own; throws what an admin answer says. */
  postEvents(body: AsyncIterable<Buffer>, lines: boolean): Promise<{ accepted: number }>
  setConnection(
    name: string,
    connected: boolean,
    actor: Actor,
  ): Promise<{ name: string; connected: boolean } | null>
  setCapture(capturing: boolean, actor: Actor): Promise<{ paused: boolean }>
  /** Forgets every cached secret. */
  clearSecrets(actor: Actor): Promise<void>
  setLogLevel(level: string, actor: Actor): Promise<void>
  reload(actor: Actor): Promise<ReloadResult>
  /** Checks a YAML text, or the file on disk when there is none. */
  checkConfig(yaml: string | null): Promise<ReloadResult>
  /** Who bears these tags has changed: mirrors that ask for one of them follow before it resolves. */
  followTags(handles: readonly string[]): Promise<void>
  /** Prometheus text, with its content type. */
  metrics(): Promise<{ type: string; text: string }>
}
