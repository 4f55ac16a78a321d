/** What HAR 1.2 requires of a log (its sections "log" to "timings"), as a list of what is broken. */

type Rule = (value: unknown) => boolean

const text: Rule = (value) => typeof value === 'string'
const number: Rule = (value) => typeof value === 'number' && Number.isFinite(value)
const size: Rule = (value) => Number.isInteger(value) && (value as number) >= -1
const time: Rule = (value) => number(value) && (value as number) >= 0
const moment: Rule = (value) =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value)

interface Shape {
  readonly required: Readonly<Record<string, Rule | Shape | readonly [Shape]>>
  readonly optional?: Readonly<Record<string, Rule | Shape>>
}

const pair: Shape = { required: { name: text, value: text } }
const cookie: Shape = {
  ...pair,
  optional: { path: text, domain: text, expires: text, httpOnly: Boolean, secure: Boolean },
}
const head = {
  httpVersion: text,
  cookies: [cookie],
  headers: [pair],
  headersSize: size,
  bodySize: size,
} as const

const entry: Shape = {
  required: {
    startedDateTime: moment,
    time,
    request: {
      required: { method: text, url: text, queryString: [pair], ...head },
      optional: { postData: { required: { mimeType: text, text }, optional: { encoding: text } } },
    },
    response: {
      required: {
        status: number,
        statusText: text,
        redirectURL: text,
        content: { required: { size: number, mimeType: text }, optional: { text, encoding: text } },
        ...head,
      },
    },
    cache: { required: {} },
    timings: { required: { send: time, wait: time, receive: time }, optional: { blocked: number } },
  },
  optional: { serverIPAddress: text, connection: text, comment: text, pageref: text },
}

const har: Shape = {
  required: {
    log: {
      required: { version: text, creator: { required: { name: text, version: text } }, entries: [entry] },
    },
  },
}

/** Paths with what is wrong there; unknown names must begin with an underscore. */
export function brokenInHar(document: unknown): string[] {
  return broken(document, har, '')
}

function broken(value: unknown, shape: Shape, path: string): string[] {
  if (typeof value !== 'object' || value === null) return [`${path} is no object`]
  const fields = value as Readonly<Record<string, unknown>>
  const known = { ...shape.required, ...shape.optional }
  const missing = Object.keys(shape.required).filter((key) => !(key in fields))
  const unknown = Object.keys(fields).filter((key) => !(key in known) && !key.startsWith('_'))
  return [
    ...missing.map((key) => `${path}.${key} is missing`),
    ...unknown.map((key) => `${path}.${key} is unknown`),
    ...Object.entries(known).flatMap(([key, rule]) =>
      key in fields ? check(fields[key], rule, `${path}.${key}`) : [],
    ),
  ]
}

function check(value: unknown, rule: Rule | Shape | readonly [Shape], path: string): string[] {
  if (typeof rule === 'function') return rule(value) ? [] : [`${path} is wrong`]
  if ('required' in rule) return broken(value, rule, path)
  if (!Array.isArray(value)) return [`${path} is no list`]
  return value.flatMap((element: unknown, at) => broken(element, rule[0], `${path}[${at}]`))
}
