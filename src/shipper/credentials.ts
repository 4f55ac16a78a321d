/**
 * Puts the values of secrets into a target just before it is delivered to, so that a rotated secret is used
 * by the next delivery. A destination that refuses them is asked once more, with values that were read again.
 */
import { createHash } from 'node:crypto'
import { limits } from '../contract/limits.ts'
import {
  fillTemplate,
  referencesOf,
  referenceText,
  type SecretReference,
} from '../contract/secret-reference.ts'
import { SecretError } from '../contract/secrets.ts'
import type { ShipResult, ShipTask, Target } from '../contract/tasks.ts'
import type { Secret } from '../secrets/cache.ts'
import type { SecretSource } from '../secrets/secrets.ts'

type Ship = (task: ShipTask) => Promise<ShipResult>
type Failure = Extract<ShipResult, { ok: false }>
type Read = (reference: SecretReference) => Promise<Secret>

export interface CredentialsHost {
  readonly ship: Ship
  readonly secrets: SecretSource
  /** A destination refused secrets that have not changed; told once for the same values. */
  refused(mirror: string, references: readonly SecretReference[]): void
}

/** A target that can be delivered to, and the secrets in it. */
interface Filled {
  readonly target: Target
  readonly secrets: ReadonlyMap<string, Secret>
  readonly references: readonly SecretReference[]
}

export class Credentials {
  readonly #host: CredentialsHost
  /** What each leg was refused with last, by the key of its filled target. */
  readonly #refused = new Map<string, string>()

  constructor(host: CredentialsHost) {
    this.#host = host
  }

  /** Never rejects, like what it wraps. */
  async ship(task: ShipTask): Promise<ShipResult> {
    const { ship, secrets } = this.#host
    if (task.target.templates.length === 0) return ship(task)
    const started = performance.now()
    let filled: Filled
    try {
      filled = await fill(task.target, (reference) => secrets.read(reference))
    } catch (error) {
      return unreadable(error, performance.now() - started)
    }
    const result = await ship({ ...task, target: filled.target })
    const leg = `${task.target.owner}/${task.leg}`
    if (result.ok) this.#refused.delete(leg)
    if (result.ok || result.kind !== 'unauthorized') return result
    return this.#again(task, leg, filled, result)
  }

  async #again(task: ShipTask, leg: string, used: Filled, result: Failure): Promise<ShipResult> {
    const { ship, secrets } = this.#host
    let fresh: Filled
    try {
      fresh = await fill(task.target, (reference) =>
        secrets.readAgain(reference, used.secrets.get(referenceText(reference))?.readAt ?? 0),
      )
    } catch (error) {
      return { ...result, message: bounded(`${result.message}; ${sentence(error)}`) }
    }
    const same = fresh.target.key === used.target.key
    // Asked already, with the very same: again would only be one more failed sign-in over there.
    if (same && this.#refused.get(leg) === fresh.target.key) return result
    this.#refused.set(leg, fresh.target.key)
    if (same) this.#host.refused(task.target.mirror, fresh.references)
    const second = await ship({ ...task, target: fresh.target })
    if (second.ok) this.#refused.delete(leg)
    return second
  }
}

/** Why a reference has no value; the reference is named, the value never. */
class FillError extends Error {
  override readonly name = 'FillError'
}

async function fill(target: Target, read: Read): Promise<Filled> {
  const references = new Map<string, SecretReference>()
  for (const field of target.templates) {
    for (const reference of referencesOf(textAt(target, field)))
      references.set(referenceText(reference), reference)
  }
  const found = await Promise.all(
    [...references].map(async ([text, reference]): Promise<[string, Secret]> => {
      try {
        return [text, await read(reference)]
      } catch (error) {
        const { kind, message } = error instanceof SecretError ? error : { kind: 'unavailable', message: '' }
        throw new FillError(`reading ${text}: ${kind}${message === '' ? '' : `: ${message}`}`)
      }
    }),
  )
  const secrets = new Map(found)
  const valueOf = (reference: SecretReference) => secrets.get(referenceText(reference))?.value ?? ''
  const values = [...secrets.values()].map(({ value }) => value)
  let full = target
  for (const field of target.templates)
    full = withText(full, field, fillTemplate(textAt(full, field), valueOf))
  const key = createHash('sha256').update(target.key).update(JSON.stringify(values)).digest('base64url')
  const filled = { ...full, key, templates: [], connection: { ...full.connection, secretValues: values } }
  return { target: filled, secrets, references: [...references.values()] }
}

const mapField = /^\/(headers|options)\/(.*)$/s

/** Where a text stands among the headers or the sink's own options. */
function placeOf(field: string): { map: 'headers' | 'options'; name: string } | null {
  const [, map, name] = mapField.exec(field) ?? []
  if (map === undefined || name === undefined) return null
  return { map: map as 'headers' | 'options', name: name.replaceAll('~1', '/').replaceAll('~0', '~') }
}

function textAt({ connection, options }: Target, field: string): string {
  const place = placeOf(field)
  if (place?.map === 'options') return String(options[place.name] ?? '')
  if (place !== null) return connection.headers[place.name] ?? ''
  if (field === '/base_url') return connection.baseUrl ?? ''
  if (field === '/proxy_url') return connection.proxyUrl ?? ''
  return connection.tls?.server_name ?? ''
}

function withText(target: Target, field: string, text: string): Target {
  const place = placeOf(field)
  if (place?.map === 'options') return { ...target, options: { ...target.options, [place.name]: text } }
  return { ...target, connection: withConnectionText(target.connection, field, text, place?.name) }
}

function withConnectionText(
  connection: Target['connection'],
  field: string,
  text: string,
  header: string | undefined,
): Target['connection'] {
  if (header !== undefined) return { ...connection, headers: { ...connection.headers, [header]: text } }
  if (field === '/base_url') return { ...connection, baseUrl: text }
  if (field === '/proxy_url') return { ...connection, proxyUrl: text }
  return connection.tls === null
    ? connection
    : { ...connection, tls: { ...connection.tls, server_name: text } }
}

function sentence(error: unknown): string {
  // Anything else is a bug, and may quote a value.
  return error instanceof FillError ? error.message : 'reading a secret failed'
}

function bounded(text: string): string {
  return text.slice(0, limits.answer_kept_bytes)
}

/** Nothing was sent: the policy goes on, and tries again. */
function unreadable(error: unknown, latencyMs: number): Failure {
  return {
    ok: false,
    kind: 'retry',
    message: bounded(sentence(error)),
    status: null,
    retryAfterMs: null,
    answer: null,
    network: false,
    latencyMs,
    item: null,
    corrupt: [],
  }
}
