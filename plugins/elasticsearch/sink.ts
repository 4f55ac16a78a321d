/** Writes events to an index or a data stream of Elasticsearch or OpenSearch, by its bulk API. */
import {
  defineSink,
  type EventLine,
  eventLines,
  eventTime,
  OutcomeError,
  publicUrl,
  Type,
} from 'mirrorgate/plugin'

const MIB = 1024 * 1024

const options = Type.Object(
  {
    url: Type.String({
      default: '/_bulk',
      minLength: 1,
      maxLength: 4096,
      description: 'The bulk API: a URL that ends with /_bulk, or a path under base_url.',
    }),
    index: Type.String({
      pattern: '^[^-_+A-Z\\\\/*?"<>| ,#:][^A-Z\\\\/*?"<>| ,#:]{0,254}$',
      rule: 'must be the name of an index: lower case, without spaces and \\ / * ? " < > | , # :',
      description: 'Index, alias or data stream that events are written to.',
    }),
    pipeline: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: 'Ingest pipeline that they go through.' }),
    ),
  },
  { additionalProperties: false },
)

/** What an answer says of each event; the rest of it would not fit into what is read of an answer. */
const filter = 'filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason'

export default defineSink({
  name: 'elasticsearch',
  summary: 'Writes events to an index or a data stream of Elasticsearch or OpenSearch.',
  options,
  formats: ['exchange'],
  urls: ['url'],
  // A few megabytes a request is what the service advises; its own limit is 100 MB.
  limits: { batch_bytes: 10 * MIB, batch_items: 1000, item_bytes: 10 * MIB },
  legs: ({ url }) => [{ name: 'documents', half: 'exchange', url: publicUrl(url) }],
  create({ options: { url, index, pipeline }, http }) {
    const through = pipeline === undefined ? '' : `&pipeline=${encodeURIComponent(pipeline)}`
    const bulk = `${url}${url.includes('?') ? '&' : '?'}${filter}${through}`
    const headers = { 'content-type': 'application/x-ndjson' }
    return {
      async write(batch, signal) {
        const body = Buffer.from([...eventLines(batch)].map((line) => action(line, index)).join(''))
        const { text } = await http.post(bulk, { body, headers, batch }, signal)
        judge(text)
      },
      close() {},
    }
  },
})

/**
 * Created, never replaced: a data stream allows nothing else. The name of a document is that of its event, so
 * that a repeat finds it there already.
 */
function action({ line, event, id }: EventLine, index: string): string {
  const text = event === null ? `{"message":${JSON.stringify(line.toString())}}` : line.toString()
  return `${JSON.stringify({ create: { _index: index, _id: id } })}\n${timed(text, event)}\n`
}

/** A data stream needs a time (Elasticsearch, create a data stream). */
function timed(text: string, event: EventLine['event']): string {
  if (event !== null && '@timestamp' in event) return text
  const time = new Date(eventTime(event) ?? Date.now()).toISOString()
  return text === '{}' ? `{"@timestamp":"${time}"}` : `{"@timestamp":"${time}",${text.trimStart().slice(1)}`
}

interface Item {
  readonly status: number
  readonly error?: { readonly type?: string; readonly reason?: string }
}

/** A bulk request is answered 200 whatever became of its events: each has a status of its own. */
function judge(text: string): void {
  // The first field; `took` is filtered away.
  const [, errors] = /^\s*\{\s*"errors"\s*:\s*(true|false)/.exec(text) ?? []
  if (errors === 'false') return
  // Who answers so may have taken nothing; what is there already is not written twice.
  if (errors === undefined) throw new OutcomeError('retry', 'the answer is none of the bulk API')
  const failed = itemsOf(text)?.filter(({ status }) => status >= 300 && status !== 409)
  // More errors than are read of an answer: fewer at a time say which.
  if (failed === undefined) throw new OutcomeError('too_large', 'the answer is too long to be read')
  const busy = failed.find(({ status }) => status === 429 || status >= 500)
  const refused = failed.find(({ status }) => status === 401 || status === 403)
  const missing = failed.find(({ status }) => status === 404)
  if (refused !== undefined) throw outcome('unauthorized', refused)
  if (missing !== undefined) throw outcome('not_found', missing)
  if (busy !== undefined) throw outcome('retry', busy)
  const [bad] = failed
  if (bad !== undefined) throw outcome('rejected', bad)
}

function outcome(
  kind: 'unauthorized' | 'not_found' | 'retry' | 'rejected',
  { status, error }: Item,
): OutcomeError {
  const type = error?.type ?? 'without a reason'
  const answer = error?.reason ?? null
  return new OutcomeError(kind, `the index answered ${status} ${type}`, { status, answer })
}

function itemsOf(text: string): Item[] | undefined {
  try {
    const { items = [] } = JSON.parse(text) as { items?: readonly Record<string, Item>[] }
    return items.flatMap((item) => Object.values(item))
  } catch {
    return undefined
  }
}
