/**
 * Audit webhooks by the API of Konnect, kept as what the gateway delivers by anyway: a destination is a
 * connection, a webhook is a stream through it.
 */
import { randomUUID } from 'node:crypto'
import type { Json } from '../../contract/activity.ts'
import type { Actor } from '../../contract/audit-trail.ts'
import { limits } from '../../contract/limits.ts'
import type { ResourceKind } from '../../contract/resources.ts'
import type { Store } from '../../store/store.ts'
import type { DestinationRecord, LogFormat, WebhookCommand, WebhookRecord } from '../../store/webhooks.ts'
import type { Commands } from '../commands.ts'
import { AdminError } from '../errors.ts'
import type { ResourceRequest } from '../resource-commands.ts'

export interface DestinationChanges {
  readonly name?: string
  readonly endpoint?: string
  readonly authorization?: string
  readonly log_format?: LogFormat
  readonly skip_ssl_verification?: boolean
}

export interface Destination extends DestinationRecord {
  readonly id: string
}

/** The webhook of the organization, beside those of portals. */
export const organization = 'organization'

/** The one destination that belongs to the older form of the organization's webhook alone. */
export const inlineDestination = '00000000-0000-4000-8000-000000000001'

const connectionOf = (id: string): string => `audit-destination-${id}`

/** Name of the stream that a webhook is. */
export function streamOf(scope: string): string {
  return scope === organization ? 'audit-webhook' : `audit-webhook-${scope}`
}

const retry = { attempts: 4, min_wait_ms: 1000, max_wait_ms: 30_000 }

export class WebhookBook {
  readonly #store: Store
  readonly #commands: Commands
  /** Checks and writes of one change at a time. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor({ store, commands }: { readonly store: Store; readonly commands: Commands }) {
    this.#store = store
    this.#commands = commands
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  /** Those that were made by themselves, the oldest first. */
  destinations(): Destination[] {
    return this.#store.webhooks
      .destinations()
      .filter(({ id }) => id !== inlineDestination)
      .map(({ id, record }) => ({ id, ...record }))
  }

  destination(id: string): Destination | null {
    const record = this.#store.webhooks.destination(id)
    return record === undefined ? null : { id, ...record }
  }

  webhook(scope: string): WebhookRecord | null {
    return this.#store.webhooks.webhook(scope) ?? null
  }

  create(
    wanted: Required<DestinationChanges>,
    actor: Actor,
    id: string = randomUUID(),
  ): Promise<Destination> {
    return this.#inTurn(async () => {
      const most = limits.audit_destinations_max
      if (this.#store.webhooks.destinations().length >= most)
        throw new AdminError(409, `there may be at most ${most} destinations: delete one`)
      const { authorization, ...rest } = wanted
      const now = Date.now()
      const record = { ...rest, created_at: now, updated_at: now }
      const connection = this.#defining('connections', connectionOf(id), connectionBody(wanted))
      await this.#change([connection], [{ type: 'audit_destination', id, record }], actor)
      return { id, ...record }
    })
  }

  /** Null for an unknown one. */
  change(id: string, changes: DestinationChanges, actor: Actor): Promise<Destination | null> {
    return this.#inTurn(async () => {
      const known = this.#store.webhooks.destination(id)
      if (known === undefined) return null
      const { authorization, ...rest } = changes
      const record = { ...known, ...rest, updated_at: Date.now() }
      const body = connectionBody({ ...record, ...(authorization !== undefined && { authorization }) })
      const changed = { id, ...record }
      const streams = this.#usersOf(id).map(({ scope, record: { enabled } }) =>
        this.#defining('streams', streamOf(scope), streamBody(scope, enabled, changed)),
      )
      const connection = this.#defining('connections', connectionOf(id), body)
      await this.#change([connection, ...streams], [{ type: 'audit_destination', id, record }], actor)
      return changed
    })
  }

  /** False for an unknown one; throws 409 for one that is in use. */
  delete(id: string, actor: Actor): Promise<boolean> {
    return this.#inTurn(async () => {
      if (this.#store.webhooks.destination(id) === undefined) return false
      const [user] = this.#usersOf(id)
      if (user !== undefined)
        throw new AdminError(409, `the destination is in use by the webhook of ${ownerOf(user.scope)}`)
      const removal = this.#removing('connections', connectionOf(id))
      await this.#change(removal, [{ type: 'audit_destination', id, record: null }], actor)
      return true
    })
  }

  #usersOf(id: string) {
    return this.#store.webhooks.webhooks().filter(({ record }) => record.destination_id === id)
  }

  /** Points a webhook to a destination, switches it on or off; what is left out stays. Null: none is set. */
  configure(
    scope: string,
    changes: { readonly destination_id?: string; readonly enabled?: boolean },
    actor: Actor,
  ): Promise<WebhookRecord | null> {
    return this.#inTurn(async () => {
      const known = this.webhook(scope)
      if (Object.keys(changes).length === 0) return known
      const none = { destination_id: null, enabled: false }
      const record = { ...(known ?? none), ...changes, updated_at: Date.now() }
      const id = record.destination_id
      if (id === null) throw invalid('audit_log_destination_id', 'cannot be blank')
      const destination = this.destination(id)
      if (destination === null) throw invalid('audit_log_destination_id', `no destination has it, got ${id}`)
      if (known === null && this.#store.webhooks.webhooks().length >= limits.audit_webhooks_max)
        throw new AdminError(409, `there may be at most ${limits.audit_webhooks_max} webhooks: delete one`)
      const body = streamBody(scope, record.enabled, destination)
      const stream = this.#defining('streams', streamOf(scope), body)
      await this.#change([stream], [{ type: 'audit_webhook', scope, record }], actor)
      return record
    })
  }

  /** Takes the destination off a webhook; its stream ends, with what it had not delivered. */
  unset(scope: string, actor: Actor): Promise<void> {
    return this.#inTurn(async () => {
      if (this.webhook(scope) === null) return
      // Nothing stays behind: portals are named from outside, and each record takes one of their places.
      const records: WebhookCommand[] = [
        { type: 'audit_webhook', scope, record: null },
        { type: 'audit_replay', scope, record: null },
      ]
      await this.#change(this.#removing('streams', streamOf(scope)), records, actor)
    })
  }

  #defining(kind: ResourceKind, name: string, body: Body): ResourceRequest {
    const act = this.#commands.resources.facts(kind, name) === null ? 'create' : 'merge'
    return { kind, name, act, body: { ...body, name }, ...always }
  }

  #removing(kind: ResourceKind, name: string): ResourceRequest[] {
    if (this.#commands.resources.facts(kind, name) === null) return []
    return [{ kind, name, act: 'delete', body: {}, ...always }]
  }

  /** What the gateway delivers by and the records of it, in one transaction. */
  async #change(
    requests: readonly ResourceRequest[],
    records: readonly WebhookCommand[],
    actor: Actor,
  ): Promise<void> {
    const outcomes = await this.#commands.resources.changeTogether(requests, actor, records)
    for (const outcome of outcomes) {
      if (outcome.result === 'done') continue
      if (outcome.result !== 'invalid') throw new AdminError(409, 'it was changed meanwhile: try again')
      const problems = outcome.problems.map(({ path, message }) => [fieldOf(path), [message]])
      throw new AdminError(400, 'the request is not valid', { errors: Object.fromEntries(problems) })
    }
  }
}

/** Whatever version is in force. */
const always = { ifMatch: null, dryRun: false } as const

type Body = Readonly<Record<string, Json>>

function connectionBody({ authorization, skip_ssl_verification: skip }: DestinationChanges): Body {
  return {
    ...(authorization !== undefined && { headers: { Authorization: authorization } }),
    tls: { verify: skip !== true },
  }
}

/** Konnect sends everything of the organization, and of a portal the sign-ins. */
function streamBody(
  scope: string,
  enabled: boolean,
  { id, endpoint, log_format: format }: Destination,
): Body {
  const ofPortal = scope !== organization
  return {
    enabled,
    sink: 'webhook',
    connection: connectionOf(id),
    endpoint,
    events: [ofPortal ? 'authentication' : 'activity'],
    ...(ofPortal && { match: { portal_ids: [scope] } }),
    format,
    retry,
    batch: { max_bytes: 1024 * 1024, compression: 'gzip' },
  }
}

const ownerOf = (scope: string): string => (scope === organization ? 'the organization' : `portal ${scope}`)

function invalid(field: string, reason: string): AdminError {
  return new AdminError(400, 'the request is not valid', { errors: { [field]: [reason] } })
}

/** What a field of a definition is called here. */
function fieldOf(path: string): string {
  if (path.startsWith('headers')) return 'authorization'
  return path === '' ? 'body' : path
}
