/** What the admin port may ask about definitions of the configuration, and how it is answered. */
import type { Problem } from '../config/problems.ts'
import type { Json } from '../contract/activity.ts'
import type { Actor } from '../contract/audit-trail.ts'
import type { Definition, ResourceKind } from '../contract/resources.ts'
import type { WebhookCommand } from '../store/webhooks.ts'

/** Where a definition lives; none: nowhere any more, only a backlog is left. */
export const managers = ['file', 'api', 'none'] as const
export type ManagedBy = (typeof managers)[number]

/** Who defined something, and when. */
export interface ResourceFacts {
  managed_by: ManagedBy
  /** `gateway.yaml:12` of what the file defines. */
  defined_at: string | null
  /** As it was written: references as references, no defaults, secrets covered. */
  definition: Definition | null
  created_at: string | null
  created_by: string | null
  updated_at: string | null
  updated_by: string | null
}

export interface ResourceChangeView extends ResourceFacts {
  name: string
  /** Whether it was only tried. */
  dry_run: boolean
  /** What differs from before; values are left out where they are long. */
  changes: { path: string; from?: Json; to?: Json }[]
  warnings: string[]
}

export interface ConnectionView extends ResourceFacts {
  name: string
  /** False: a person took it off, its legs are paused. */
  connected: boolean
  base_url: string | null
  /** By name; values are covered, references shown. */
  headers: Record<string, string>
  case_sensitive_headers: boolean
  proxy_url: string | null
  /** Names of the mirrors that deliver through it. */
  used_by: string[]
  used_by_streams: string[]
}

export interface ResourceRequest {
  readonly kind: ResourceKind
  /** From the path, or from the body of what is to be created. */
  readonly name: string
  readonly act: 'create' | 'replace' | 'merge' | 'delete'
  /** Whole, or a merge patch (RFC 7396). */
  readonly body: Readonly<Record<string, Json>>
  /** Tags of which one must be in force; null: any version. */
  readonly ifMatch: readonly string[] | null
  readonly dryRun: boolean
}

export type ResourceOutcome =
  | { readonly result: 'done'; readonly view: ResourceChangeView; readonly etag: string | null }
  | { readonly result: 'unknown' }
  | { readonly result: 'stale' }
  | { readonly result: 'invalid'; readonly problems: readonly Problem[] }

export interface ResourceCommands {
  /** Null for a name that is defined nowhere. */
  facts(kind: ResourceKind, name: string): ResourceFacts | null
  /** Of what the API defined. */
  etag(kind: ResourceKind, name: string): string | null
  connections(): ConnectionView[]
  connection(name: string): ConnectionView | null
  /** In turn with all other changes and reloads; throws ConflictError when something stands against it. */
  change(request: ResourceRequest, actor: Actor): Promise<ResourceOutcome>
  /**
   * Several at once, with records that belong to them, all in one transaction or none of it: the first
   * outcome that stands against it, or of each. Without a difference in any of them the records alone are
   * written.
   */
  changeTogether(
    requests: readonly ResourceRequest[],
    actor: Actor,
    records: readonly WebhookCommand[],
  ): Promise<readonly ResourceOutcome[]>
  /** The whole effective configuration as YAML that loads again. */
  exported(): string
  /** JSON Schema of what a request brings, for the document of the API. */
  schema(kind: ResourceKind, act: ResourceRequest['act']): object
}
