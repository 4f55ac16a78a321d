/**
 * Names of objects: a template with placeholders, filled from an event. The same event of the same batch has
 * the same name on every try, so that a repeat overwrites itself; what may not stand in a name is replaced.
 */
import { createHash } from 'node:crypto'
import { type Fields, ownTime } from './event-lines.ts'
import { limits } from './limits.ts'
import { nearest } from './nearest.ts'

/** Where an event comes from, beside what it says itself. */
export interface EventPlace {
  readonly environment: string
  readonly workspaceId: number
  readonly stream: string
  /** Id of its whole batch, and its place in that. */
  readonly batch: string
  readonly index: number
}

/** One event as names see it. */
interface Named {
  readonly event: Fields
  readonly place: EventPlace
  /** When it happened, as digits in UTC: YYYYMMDDHHMMSS. */
  readonly moment: string | null
}

const undated = 'undated'

const placeholders: Readonly<Record<string, (named: Named) => unknown>> = {
  environment: ({ event, place }) =>
    firstName(
      event['environment'],
      fieldsOf(event['workspace'])['environment'],
      event['environment_type'],
      place.environment,
    ),
  stream: ({ place }) => place.stream,
  type: ({ event }) => typeOf(event),
  date: ({ moment }) => moment?.slice(0, 8) ?? undated,
  time: ({ moment }) => moment?.slice(8) ?? undated,
  year: ({ moment }) => moment?.slice(0, 4) ?? undated,
  month: ({ moment }) => moment?.slice(4, 6) ?? undated,
  day: ({ moment }) => moment?.slice(6, 8) ?? undated,
  hour: ({ moment }) => moment?.slice(8, 10) ?? undated,
  id: ({ event, place }) => firstName(event['id'], placeName(place)),
  status: ({ event }) => firstName(event['status'], fieldsOf(event['response'])['status'], event['outcome']),
  workspace_id: ({ event, place }) =>
    firstName(
      fieldsOf(event['workspace'])['id'],
      event['workspace_id'],
      event['account_id'],
      place.workspaceId,
    ),
  user_id: ({ event }) =>
    firstName(
      fieldsOf(event['context'])['user_id'],
      event['user_id'],
      fieldsOf(event['user'])['id'],
      event['account_id'],
    ),
  recipe_id: ({ event }) =>
    firstName(event['recipe_id'], fieldsOf(event['context'])['recipe_id'], event['flow_id']),
  job_id: ({ event, place }) =>
    firstName(event['job_id'], fieldsOf(event['context'])['job_id'], event['id'], placeName(place)),
  collection: ({ event }) => event['collection'],
  batch: ({ place }) => place.batch,
  index: ({ place }) => place.index,
}

export const placeholderNames: readonly string[] = Object.keys(placeholders)

/** As the audit log streaming of Workato names the history of jobs. */
const jobTemplate =
  '{user_id}/jobs/{recipe_id}/{date}/{job_id}/{user_id}-{recipe_id}-{job_id}-{date}{time}-{status}'
const eventTemplate = '{workspace_id}/{type}/{date}/{workspace_id}-{type}-{id}-{date}{time}-{batch}-{index}'
const batchTemplate = '{workspace_id}/{stream}/{date}/{workspace_id}-{stream}-{date}{time}-{batch}'

export type Files = 'per_event' | 'per_batch'

/** What is wrong with a template; null when it can be used. */
export function keyProblem(template: string, files: Files): string | null {
  for (const [, name = ''] of template.matchAll(/\{([^{}]*)\}/g)) {
    if (Object.hasOwn(placeholders, name)) continue
    const near = nearest(name, placeholderNames)
    const hint = near === undefined ? `one of ${placeholderNames.join(', ')}` : `{${near}}`
    return `must hold known placeholders only, {${name}} is none, did you mean ${hint}`
  }
  const text = template.replaceAll(/\{[^{}]*\}/g, 'x')
  if (!/^[\w.=@+:,/-]*$/.test(text))
    return 'must hold letters, digits, _ . = @ + : , - / and placeholders only'
  if (text.split('/').some((part) => part === '' || part === '.' || part === '..'))
    return 'must be names between single slashes, none of them empty, . or ..'
  if (/\.(json|ndjson|gz|zst)$/.test(text))
    return 'must be without the ending .json, .ndjson, .gz or .zst, which is added'
  const holds = (...names: string[]) => names.every((name) => template.includes(`{${name}}`))
  const isDistinct = files === 'per_batch' ? holds('batch') : holds('id') || holds('job_id')
  if (isDistinct || holds('batch', 'index')) return null
  return files === 'per_batch'
    ? 'must hold {batch}, or files would overwrite each other'
    : 'must hold {id}, {job_id}, or {batch} and {index}, or files would overwrite each other'
}

/** The name of the object of one event, or of the batch that begins with it; without its ending. */
export function objectKey(
  event: Fields | null,
  place: EventPlace,
  { key, files }: { readonly key?: string; readonly files: Files },
): string {
  const inner = event === null ? {} : datedFields(event)
  const named = { event: inner, place, moment: momentOf(inner) }
  const template = key ?? (files === 'per_batch' ? batchTemplate : isJob(inner) ? jobTemplate : eventTemplate)
  // What is left of a split batch is a file of its own.
  const rest =
    files === 'per_batch' && place.index > 0 && !template.includes('{index}') ? `-${place.index}` : ''
  const filled = template.replaceAll(/\{([^{}]*)\}/g, (_whole, name: string) =>
    safeValue(placeholders[name]?.(named)),
  )
  return bounded(filled, limits.object_key_bytes_max - rest.length) + rest
}

/** What names an event that bears no name of its own: no other one has it. */
function placeName({ batch, index }: EventPlace): string {
  return `${batch}-${index}`
}

/** The first value that can stand in a name: an empty text or an object would be the same for all. */
function firstName(...values: readonly unknown[]): unknown {
  return values.find((value) => typeof value === 'number' || (typeof value === 'string' && value !== ''))
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

/** The event itself, or the one inside a custom message. */
function datedFields(event: Fields): Fields {
  if (ownTime(event) !== null) return event
  return (
    Object.values(event)
      .map(fieldsOf)
      .find((inner) => ownTime(inner) !== null) ?? event
  )
}

function momentOf(event: Fields): string | null {
  const time = ownTime(event)
  return time === null ? null : new Date(time).toISOString().replaceAll(/\D/g, '').slice(0, 14)
}

function isJob(event: Fields): boolean {
  const { type } = event
  if (type !== undefined) return type === 'job_summary' || type === 'job_details'
  return event['recipe_id'] !== undefined && event['status'] !== undefined
}

function typeOf(event: Fields): unknown {
  if (typeof event['event_type'] === 'string') return event['event_type']
  if (isJob(event)) return 'jobs'
  if (typeof event['type'] === 'string') return event['type']
  return event['request'] === undefined ? undefined : 'exchange'
}

/**
 * Letters, digits and a few marks; nothing that makes a folder, hides a file or ends a line. A value that
 * had to be changed bears a digest of what it was, or two of them could become one.
 */
function safeValue(value: unknown): string {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : ''
  if (text === '') return 'none'
  const safe = text.replaceAll(/[^\w.@+=-]/g, '_').replace(/^\.+/, '_')
  const { object_key_value_bytes_max: room } = limits
  return safe === text && text.length <= room ? text : withDigest(safe, text, room)
}

function bounded(key: string, room: number): string {
  return key.length <= room ? key : withDigest(key, key, room)
}

function withDigest(text: string, original: string, room: number): string {
  const digest = createHash('sha256').update(original).digest('hex').slice(0, 12)
  return `${text.slice(0, room - digest.length - 1)}-${digest}`
}
