/** Rules about what mirrors and streams share: destinations, and bounds that must fit each other. */
import type { SinkDefinition } from '../../contract/plugin.ts'
import { secretOptionsOf } from '../delivery-fields.ts'
import { type Base, destinationOf } from '../destinations.ts'
import type { DeliveryDraft, Draft, Entry } from '../draft.ts'
import { pointerTo } from '../places.ts'
import { plural } from '../wording.ts'
import { checkSink } from './sinks.ts'

/** `legs`: how many queues share the spool, from the options of the sink. */
export function checkDelivery(
  draft: Draft,
  entry: Entry<DeliveryDraft>,
  legs: (sink: SinkDefinition, options: Record<string, unknown>) => number,
): void {
  const { value, pointer } = entry
  if (draft.sound(`${pointer}/retry`, `${pointer}/timeout_ms`)) retry(draft, entry)
  if (draft.sound(`${pointer}/spool`, `${pointer}/batch`)) waiting(draft, entry)
  if (draft.sound(`${pointer}/redact`)) redaction(draft, entry)
  const sink = draft.sinks.get(value.sink)
  if (sink === undefined) return
  if (draft.sound(`${pointer}/batch`)) batch(draft, entry, sink)
  const options = destinations(draft, entry, sink)
  if (options !== null && draft.sound(pointer)) spoolShare(draft, entry, legs(sink, options))
  checkSink(draft, entry, sink, options)
  clearOptions(draft, entry, sink)
}

function retry(draft: Draft, { value, pointer }: Entry<DeliveryDraft>): void {
  const at = `${pointer}/retry`
  const { attempts, within_ms, min_wait_ms, max_wait_ms, probe_ms } = value.retry
  const spread = min_wait_ms === undefined && max_wait_ms === undefined
  if (within_ms !== undefined && !spread) {
    const key = min_wait_ms === undefined ? 'max_wait_ms' : 'min_wait_ms'
    draft.problemAtKey(`${at}/${key}`, 'must not stand beside within_ms, choose one of the two forms')
    return
  }
  if (!spread) {
    if (min_wait_ms !== undefined && max_wait_ms !== undefined && max_wait_ms < min_wait_ms) {
      draft.problem(`${at}/max_wait_ms`, `must be at least min_wait_ms ${min_wait_ms}, got ${max_wait_ms}`)
    }
    return
  }
  const window = within_ms ?? DEFAULT_WITHIN_MS
  const needed = (attempts + 1) * value.timeout_ms
  if (needed > window) {
    const tries = `${plural(attempts + 1, 'attempt')} of timeout_ms ${value.timeout_ms}`
    if (within_ms !== undefined)
      draft.problem(`${at}/within_ms`, `must be at least ${needed} for ${tries}, got ${window}`)
    else {
      const key = draft.isSet(`${pointer}/timeout_ms`) ? `${pointer}/timeout_ms` : `${at}/attempts`
      draft.problem(key, `must let ${tries} fit into retry.within_ms ${window}, got ${needed}`)
    }
  }
  if (probe_ms > window) {
    const key = draft.isSet(`${at}/probe_ms`) ? 'probe_ms' : 'within_ms'
    if (key === 'probe_ms')
      draft.problem(`${at}/probe_ms`, `must be at most within_ms ${window}, got ${probe_ms}`)
    else draft.problem(`${at}/within_ms`, `must be at least probe_ms ${probe_ms}, got ${window}`)
  }
}

/** Window of the retries where none sets a wait at all. */
export const DEFAULT_WITHIN_MS = 600_000

function waiting(draft: Draft, { value, pointer }: Entry<DeliveryDraft>): void {
  const { max_wait_ms } = value.batch
  const { retention_ms } = value.spool
  if (max_wait_ms < retention_ms) return
  if (draft.isSet(`${pointer}/batch/max_wait_ms`)) {
    draft.problem(
      `${pointer}/batch/max_wait_ms`,
      `must be below spool.retention_ms ${retention_ms}, got ${max_wait_ms}`,
    )
  } else {
    draft.problem(
      `${pointer}/spool/retention_ms`,
      `must be above batch.max_wait_ms ${max_wait_ms}, got ${retention_ms}`,
    )
  }
}

function redaction(draft: Draft, { value, pointer }: Entry<DeliveryDraft>): void {
  const at = `${pointer}/redact`
  if (!value.redact.defaults)
    draft.warn(`${at}/defaults`, 'the built-in names of credentials are not redacted')
  if (value.redact.hash_secret !== undefined) {
    if (value.redact.mode !== 'hash')
      draft.problemAtKey(`${at}/hash_secret`, `must stand beside mode: hash, got "${value.redact.mode}"`)
    else if (draft.isClear(`${at}/hash_secret`))
      draft.warn(`${at}/hash_secret`, 'holds a secret in clear text, use ${env:NAME}')
  }
  for (const [index, field] of value.redact.json_fields.entries()) {
    const here = pointerTo(`${at}/json_fields`, index)
    // RFC 6901 §3.
    if (field.startsWith('/') && /~(?![01])/.test(field)) {
      draft.problem(
        here,
        `must be a JSON pointer with ~0 for ~ and ~1 for /, got ${draft.shown(here, field)}`,
      )
    }
  }
}

function batch(draft: Draft, { value, pointer }: Entry<DeliveryDraft>, sink: SinkDefinition): void {
  const bounds = [
    ['max_items', sink.limits.batch_items],
    ['max_bytes', sink.limits.batch_bytes],
  ] as const
  for (const [key, limit] of bounds) {
    const set = value.batch[key]
    if (set <= limit) continue
    draft.problem(
      `${pointer}/batch/${key}`,
      `must be at most ${limit}, the limit of sink ${sink.name}, got ${set}`,
    )
  }
}

/** The sink's options; null where something about them is wrong. */
function destinations(
  draft: Draft,
  { value, pointer }: Entry<DeliveryDraft>,
  sink: SinkDefinition,
): Record<string, unknown> | null {
  const connection = draft.connections().find((candidate) => candidate.value.name === value.connection)
  const lost = value.connection !== undefined && connection === undefined
  if (lost || (connection !== undefined && !draft.sound(`${connection.pointer}/base_url`))) return null
  const { options, problems } = sinkOptions(draft, { value, pointer }, sink)
  for (const { key, rule } of problems) {
    const at = pointerTo(pointer, key)
    if (draft.sound(at)) draft.problem(at, `${rule}, got ${draft.shown(at, value[key])}`)
  }
  return problems.length === 0 ? options : null
}

/** The base URL of the connection of a mirror or stream. */
function baseOf(draft: Draft, delivery: DeliveryDraft): Base {
  const connection = draft.connections().find(({ value }) => value.name === delivery.connection)
  if (connection === undefined) return { url: undefined, deferred: false }
  const { value, pointer } = connection
  return { url: value.base_url, deferred: draft.isDeferred(`${pointer}/base_url`) }
}

/** The sink's own keys, with absolute URLs where they are known, and what is wrong with them. */
export function sinkOptions(
  draft: Draft,
  { value: delivery, pointer }: Entry<DeliveryDraft>,
  sink: SinkDefinition,
): { options: Record<string, unknown>; problems: { key: string; rule: string }[] } {
  const base = baseOf(draft, delivery)
  const options: Record<string, unknown> = {}
  const problems: { key: string; rule: string }[] = []
  for (const key of Object.keys(sink.options.properties)) {
    const value = delivery[key]
    if (value === undefined) continue
    options[key] = value
    if (!sink.urls.includes(key) || typeof value !== 'string') continue
    // A URL that is a secret is known when something is delivered, and judged then.
    if (draft.isDeferred(pointerTo(pointer, key))) continue
    const destination = destinationOf(value, base)
    if ('rule' in destination) problems.push({ key, rule: destination.rule })
    else options[key] = destination.url
  }
  return { options, problems }
}

/** Each leg has its share of the spool: a batch must fit into it. */
function spoolShare(draft: Draft, { value, pointer }: Entry<DeliveryDraft>, legs: number): void {
  const { max_bytes } = value.spool
  const needed = legs * value.batch.max_bytes
  if (max_bytes >= needed) return
  const why = `${plural(legs, 'leg')} of batch.max_bytes ${value.batch.max_bytes}`
  draft.problem(`${pointer}/spool/max_bytes`, `must be at least ${needed} for ${why}, got ${max_bytes}`)
}

function clearOptions(draft: Draft, { value, pointer }: Entry<DeliveryDraft>, sink: SinkDefinition): void {
  for (const key of secretOptionsOf(sink)) {
    const at = pointerTo(pointer, key)
    if (typeof value[key] === 'string' && draft.isClear(at))
      draft.warn(at, 'holds a secret in clear text, use ${env:NAME}')
  }
}
