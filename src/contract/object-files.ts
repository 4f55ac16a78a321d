/**
 * The files that a batch becomes in an object store: one per event or one per batch, named by a template,
 * compressed, uploaded side by side. What sinks of object stores share.
 */
import { promisify } from 'node:util'
import { gzip, zstdCompress } from 'node:zlib'
import { Type } from './schema.ts'
import { OutcomeError } from './errors.ts'
import { batchPlace, eventLines } from './event-lines.ts'
import { limits } from './limits.ts'
import { type EventPlace, type Files, keyProblem, objectKey, placeholderNames } from './object-keys.ts'
import type { Batch, SinkContext, SinkLimits } from './plugin.ts'

export interface ObjectFile {
  readonly key: string
  readonly body: Buffer
  readonly contentType: string
}

/** Resolves when the store has the whole file; throws an `OutcomeError` otherwise. */
type Upload = (file: ObjectFile, signal: AbortSignal) => Promise<void>

interface Options {
  readonly key?: string
  readonly files: Files
}

type Context = Pick<SinkContext<Options>, 'options' | 'compression' | 'origin'>

const MIB = 1024 * 1024

/** A job with all its lines has 40 MB at most, and so a file. */
export const objectLimits: SinkLimits = {
  batch_bytes: 64 * MIB,
  batch_items: 10_000,
  item_bytes: 40 * MIB,
}

/** Options of every sink that writes objects. */
export const objectOptions = {
  key: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 512,
      description:
        'Template of the names of objects, without their ending. Placeholders: ' +
        `${placeholderNames.map((name) => `{${name}}`).join(' ')}. If absent, job history is named ` +
        'user_id/jobs/recipe_id/YYYYMMDD/job_id/user_id-recipe_id-job_id-YYYYMMDDHHMMSS-status, all else ' +
        'in that spirit under {workspace_id}/{type}/{date}.',
    }),
  ),
  files: Type.Enum(['per_event', 'per_batch'], {
    default: 'per_event',
    description: 'per_event: a JSON file for each event; per_batch: an NDJSON file for each batch.',
  }),
}

/** What `check` says to the template, in the words of a definition's `rule`. */
export function objectKeyRule({ key, files }: Options): { key: string; rule: string } | null {
  const rule = key === undefined ? null : keyProblem(key, files)
  return rule === null ? null : { key: 'key', rule }
}

const compressors = { gzip: promisify(gzip), zstd: promisify(zstdCompress) }
const endings = { none: '', gzip: '.gz', zstd: '.zst' }
const packedTypes = { gzip: 'application/gzip', zstd: 'application/zstd' }

/** Uploads a batch: all of its files, or an error and as many of them as it took. */
export async function uploadObjects(
  batch: Batch,
  context: Context,
  signal: AbortSignal,
  upload: Upload,
): Promise<void> {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const files = filesOf(batch, context)
  const work = async () => {
    for (const file of files) {
      signal.throwIfAborted()
      if (stop.signal.aborted) return
      try {
        await upload(await packed(file, context), either)
      } catch (error) {
        // The first error says what is wrong; what it stops would only say that it was stopped.
        if (stop.signal.aborted) return
        stop.abort()
        throw error
      }
    }
  }
  const workers = Math.min(limits.uploads_per_batch_max, batch.items)
  const ended = await Promise.allSettled(Array.from({ length: workers }, work))
  const failed = ended.find((one) => one.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

interface Draft {
  readonly key: string
  readonly text: Buffer
  readonly ending: string
  readonly contentType: string
}

/** One after the other, whoever asks next: workers share what is left. */
function* filesOf(batch: Batch, { options, origin }: Context): Generator<Draft> {
  const { name, first } = batchPlace(batch.id)
  const place = { ...origin, stream: batch.mirror, batch: name }
  const seen = new Set<string>()
  let index = first
  for (const { line, event } of eventLines(batch)) {
    const here: EventPlace = { ...place, index }
    const key = objectKey(event, here, options)
    index += 1
    if (options.files === 'per_batch') {
      yield { key, text: batch.ndjson, ending: '.ndjson', contentType: 'application/x-ndjson' }
      return
    }
    // Two events of one batch that would have one name, such as a job's summary and its details.
    const own = seen.has(key) ? `${key}-${here.batch}-${here.index}` : key
    seen.add(key)
    yield event === null
      ? { key: own, text: line, ending: '.txt', contentType: 'text/plain; charset=utf-8' }
      : { key: own, text: line, ending: '.json', contentType: 'application/json' }
  }
}

async function packed(draft: Draft, { compression }: Context): Promise<ObjectFile> {
  const { key, text, ending, contentType } = draft
  if (compression === 'none') return { key: key + ending, body: text, contentType }
  // No Content-Encoding: an object is what its name says, whoever fetches it.
  const body = await compressors[compression](text)
  return { key: key + ending + endings[compression], body, contentType: packedTypes[compression] }
}

/** What an SDK sends, without a copy: a file may have 40 MB. */
export function bytesOf(body: string | Uint8Array): Buffer {
  if (typeof body === 'string') return Buffer.from(body)
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

/** The `OutcomeError` that an SDK has wrapped, as deep as SDKs wrap. */
export function wrappedOutcome(error: unknown): OutcomeError | null {
  let inner = error
  for (let depth = 0; depth < 8 && typeof inner === 'object' && inner !== null; depth += 1) {
    if (inner instanceof OutcomeError) return inner
    inner = 'cause' in inner ? inner.cause : null
  }
  return null
}
