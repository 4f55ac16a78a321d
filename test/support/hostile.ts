/** Requests as nobody should send them: one operation of the document, changed at random in a few places. */
import type { Documented } from './documented.ts'
import type { Parameter, Placed, Schema } from './openapi.ts'
import type { Random } from './random.ts'
import { smallest } from './schema-values.ts'

export interface HostileRequest {
  readonly method: string
  readonly bytes: Buffer
}

const methods = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'],
  ...['PROPFIND', 'QUERY', 'PURGE', 'get', 'G', '__proto__'],
]

/** As they stand in a path or a query: some are no UTF-8, some no percent-encoding. */
const codedTexts = [
  ...['', '0', '-1', '1.5', '1e3', '1e999', '9007199254740993', 'null', 'true', 'NaN', '[]', '{}', '*', '+'],
  ...[
    '%',
    '%zz',
    '%0',
    '%00',
    'a%00b',
    '%ff',
    '%C0%80',
    '%E0%A4%A',
    '%ED%A0%80',
    '\xff',
    '\xc3\xa9',
    '%F0%9F%98%80',
  ],
  ...[
    '..',
    '.',
    '%2e%2e',
    '%2e%2e%2f%2e%2e%2f',
    '..%5c',
    '%2F',
    ';a=b',
    '%0d%0aX-Injected:%201',
    '%09',
    '%20',
  ],
  ...['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString', 'valueOf', '__defineGetter__'],
  ...[
    "'",
    '%22',
    '<script>',
    '$%7Benv:HOME%7D',
    '%7B%7Bworkato:sm:x%7D%7D',
    '2024-02-30',
    '2024-06-18T25:00:00Z',
  ],
  ...['a'.repeat(65), 'a'.repeat(300), '%61'.repeat(400), '1'.repeat(400), 'a'.repeat(9000)],
]

const oddQueries = [
  ...['page[size][]=1', 'page[size][a]=1', 'page[size]=1&page[size]=2', 'page[]=1', 'page=1', 'page[size=1'],
  ...[
    '__proto__=1',
    '__proto__[polluted]=1',
    'constructor[prototype][polluted]=1',
    'a[__proto__][polluted]=1',
  ],
  ...[
    '=',
    '&&&',
    '=&=',
    '?',
    '#',
    '%',
    '%00=1',
    '[]=1',
    '[a]=1',
    ']=[',
    'a[b][c][d][e][f][g]=1',
    'a[1000]=1',
  ],
  ...['a=1&'.repeat(1001), 'users_ids[]=1&'.repeat(600), 'x'.repeat(5000), `${'[a]'.repeat(500)}=1`],
  ...['q=%ff', 'q=%E0%A4', 'q=\xff', 'q=%00', 'dry_run=', 'dry_run=1', 'dry_run=true&dry_run=false'],
]

const oddHeaders: readonly (readonly [name: string, values: readonly string[]])[] = [
  [
    'Content-Type',
    [
      ...[
        '',
        '/',
        'x',
        'text/plain',
        'application/xml',
        'application/json; charset=utf-16',
        'application/json;;',
      ],
      ...[
        'application/jsonp',
        'multipart/form-data; boundary=x',
        'application/merge-patch+json',
        'text/yaml',
      ],
      ...[
        'application/x-www-form-urlencoded',
        '__proto__',
        '\xff',
        `application/json; a=${'b'.repeat(2000)}`,
      ],
    ],
  ],
  ['Content-Encoding', ['gzip', 'identity', 'br, gzip', '__proto__', '']],
  ['If-Match', ['', '*', '"', '""', 'W/"x"', '"a","b"', 'x', '"'.repeat(2001), `"${'a'.repeat(9000)}"`]],
  ['Idempotency-Key', ['', ' ', 'x'.repeat(255), 'x'.repeat(256), '__proto__', '\xff', '../x']],
  ['Cookie', ['mirrorgate_session', 'mirrorgate_session=', '=;=;', 'a=%ff', '__proto__=1', ';'.repeat(3000)]],
  ['X-Csrf-Token', ['', 'x', '\xff']],
  ['Origin', ['null', 'http://[', 'http://other.example', '\xff']],
  ['Accept', ['', '*/*;q=', 'application/xml', ','.repeat(3000)]],
  ['X-Forwarded-For', ['1', '::', 'x'.repeat(4000)]],
  ['Expect', ['100-continue', 'other']],
  ['__proto__', ['1']],
]

const deep = (open: string, close: string, depth: number): string => open.repeat(depth) + close.repeat(depth)

/** As they stand in a JSON text: some are no JSON, some no UTF-8. */
const jsonTexts = [
  ...['null', 'true', 'false', '0', '-1', '1.5', '1e308', '1e999', '-0', '9007199254740993', '01', 'NaN'],
  ...[
    '""',
    '" "',
    '"a"',
    '"\\u0000"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"a\\r\\nb: c"',
    '"\xff"',
    '"\t"',
    "'a'",
  ],
  ...[
    '"__proto__"',
    '"constructor"',
    '"../../etc"',
    '"2024-02-30"',
    '"http://["',
    '"*"',
    '"%s%n"',
    '"=cmd()"',
  ],
  ...['"${env:HOME}"', '"${env:"', '"${secret:x:y}"', '"{{workato:sm:x}}"', '"[redacted]"', '"${$}"'],
  ...['[]', '[[]]', '[null]', '{}', '{"a":1}', '{"__proto__":{"polluted":1}}', '{"a":1,"a":2}', '[1,]', '{'],
  ...['{"constructor":{"prototype":{"polluted":1}}}', '{"\\u005f_proto__":{"polluted":1}}', '{"length":-1}'],
  ...[deep('[', ']', 40), deep('[', ']', 5000), deep('{"a":', '}', 70), `${'['.repeat(100_000)}`],
  ...[
    `"${'a'.repeat(65)}"`,
    `"${'a'.repeat(5000)}"`,
    `"${' '.repeat(20_000)}x"`,
    `"${'\\u0000'.repeat(5000)}"`,
  ],
  ...[
    `"${'${secret:'.repeat(5000)}"`,
    `"${'://'.repeat(9000)}"`,
    `"${'a,'.repeat(20_000)}"`,
    `[${'1,'.repeat(9999)}1]`,
  ],
  `{${Array.from({ length: 2000 }, (_, at) => `"k${at}":1`).join()}}`,
]

const yamlTexts = [
  ...['', '\u0000', '---', '- a', 'a: &a [*a]', '*a', '!!js/function "x"', '<<: *x', '%YAML 9.9\n---', '? a'],
  ...[
    '__proto__: { polluted: 1 }',
    'collections: !!binary "x"',
    '\xff\xfe',
    'a: b: c',
    '\t- a',
    '{'.repeat(2000),
  ],
  ...[
    'a: |\n'.repeat(500),
    'collections: [{ name: x, upstreams: 7 }]',
    `collections: [${'{},'.repeat(2000)}]`,
  ],
  `a: &a [x]\n${Array.from({ length: 30 }, (_, at) => `b${at}: &b${at} [*a, *a]`).join('\n')}`,
]

/** Where a value is put for a raw text: no request holds it otherwise. */
const mark = '@@hostile@@'

/** A JSON text in which one place of a value holds something else. */
function changedJson(value: unknown, random: Random): string {
  const places = [...placesOf(value)]
  const put = random.pick(places)
  return JSON.stringify(put(mark)).replace(`"${mark}"`, () => random.pick(jsonTexts))
}

type Put = (text: string) => unknown

/** Every place of a value, and one more property of each object. */
function* placesOf(value: unknown): Generator<Put> {
  yield (text) => text
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries())
      for (const put of placesOf(item)) yield (text) => value.with(at, put(text))
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value))
      for (const put of placesOf(item)) yield (text) => ({ ...value, [key]: put(text) })
    for (const key of ['unknown', 'constructor', 'a'.repeat(300)]) yield (text) => ({ ...value, [key]: text })
  }
}

/** A value with an optional property more, so that those are changed as well. */
function larger(schema: Schema, value: unknown, random: Random, world: Documented): unknown {
  const { properties } = schema.anyOf === undefined ? schema : random.pick(schema.anyOf)
  const keys = Object.keys(properties ?? {})
  if (keys.length === 0 || typeof value !== 'object' || Array.isArray(value)) return value
  const key = random.pick(keys)
  return { ...value, [key]: smallest(properties?.[key] ?? {}, key, world.seed) }
}

/** Bytes that no text becomes. */
function brokenBytes(text: string, random: Random): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  if (random.once(3)) return bytes.subarray(0, random.below(bytes.length + 1))
  if (random.once(3)) return Buffer.from(`\ufeff${text}`, random.pick(['utf8', 'utf16le']))
  if (random.once(2))
    return Buffer.concat([bytes, Buffer.from(random.pick(['\u0000', '}', ' x', '{}', '\xff']), 'latin1')])
  const copy = Buffer.from(bytes)
  if (copy.length > 0) copy[random.below(copy.length)] = random.below(256)
  return copy
}

export interface HostileOptions {
  readonly world: Documented
  readonly placed: Placed
  /** Names of things that exist, coded for a path. */
  readonly name: string
  readonly token: string
  readonly random: Random
}

/** A guessed token locks the address of who guesses: it gets the right one, or none that could be one. */
const signIn = 'POST /api/session'

export function hostileRequest(options: HostileOptions): HostileRequest {
  const { placed, name, token, random } = options
  const method = random.once(8) ? random.pick(methods) : placed.method
  const inPath = random.once(4) ? random.pick(codedTexts) : name
  const headers = [`Host: 127.0.0.1`, `Authorization: Bearer ${token}`]
  const [type, body] = bodyOf(options)
  if (body !== null) {
    headers.push(`Content-Type: ${type}`, `Content-Length: ${body.length}`)
  }
  while (random.once(4)) {
    const [field, values] = random.pick(oddHeaders)
    // A second content type is a mistake of its own; more often, it stands alone.
    const at = random.once(4) ? -1 : headers.findIndex((line) => line.startsWith(`${field}:`))
    headers.splice(at === -1 ? headers.length : at, at === -1 ? 0 : 1, `${field}: ${random.pick(values)}`)
  }
  const query = queryOf(options)
  const target = `${placed.path.replace(/\{\w+\}/, () => inPath)}${query === '' ? '' : `?${query}`}`
  const head = `${method} ${target} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`
  return { method, bytes: Buffer.concat([Buffer.from(head, 'latin1'), body ?? Buffer.alloc(0)]) }
}

function queryOf({ placed, random, world }: HostileOptions): string {
  const known = (placed.operation.parameters ?? []).filter((one) => one.in === 'query')
  const parts = known
    .filter(({ required }) => required === true || random.once(4))
    .map((one) => parameterText(one, random, world))
  if (random.once(5)) parts.push(random.pick(oddQueries))
  if (random.once(8)) parts.push(`${random.pick(codedTexts)}=${random.pick(codedTexts)}`)
  return parts.join('&').slice(0, 12_000)
}

function parameterText({ name, schema }: Parameter, random: Random, world: Documented): string {
  const written = random.once(2) ? name : encodeURIComponent(name)
  const suffix = random.once(6) ? random.pick(['[]', '[0]', '[a]', '[__proto__]', '%00', '[']) : ''
  const right = encodeURIComponent(String(smallest(schema, name, world.seed)))
  return `${written}${suffix}=${random.once(2) ? random.pick(codedTexts) : right}`
}

function bodyOf({ world, placed, random }: HostileOptions): readonly [type: string, body: Buffer | null] {
  const { content = {} } = placed.operation.requestBody ?? {}
  const contents = Object.entries(content)
  if (contents.length === 0) {
    return ['application/json', random.once(6) ? Buffer.from(random.pick(jsonTexts), 'latin1') : null]
  }
  const [type, { schema }] = random.pick(contents)
  if (type.endsWith('yaml')) return [type, brokenOr(random.pick(yamlTexts), random)]
  const valid = smallest(world.bodyOf(placed, schema), 'body', world.seed)
  if (placed.id === signIn) {
    const wrong = [
      '{}',
      '[]',
      'null',
      '{"token":1}',
      '{"token":""}',
      `{"token":"${'a'.repeat(5000)}"}`,
      '{"token":',
    ]
    return [type, Buffer.from(random.once(2) ? JSON.stringify(valid) : random.pick(wrong))]
  }
  const base = random.once(2) ? valid : larger(schema, valid, random, world)
  return [type, brokenOr(changedJson(base, random), random)]
}

function brokenOr(text: string, random: Random): Buffer {
  return random.once(6) ? brokenBytes(text, random) : Buffer.from(text, 'latin1')
}
