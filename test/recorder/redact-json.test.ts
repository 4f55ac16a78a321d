/** JSON fields are taken out by name and by pointer, at any depth, also where the body is cut or broken. */
import { describe, expect, test } from 'vitest'
import type { RequestPart } from '../../src/contract/exchange.ts'
import { limits } from '../../src/contract/limits.ts'
import { defaultJsonFields } from '../../src/recorder/redact.ts'
import { bodyOf, exchangeOf, itemOf, redactOf } from './sample.ts'

const MASK = '[redacted]'
const CANARY = 'canary-5f2b'

function part(
  body: string | Buffer,
  redact = redactOf({}),
  type = 'application/json',
  kept?: number,
): RequestPart {
  const requestHeaders = type === '' ? [] : ['Content-Type', type]
  return itemOf('request', exchangeOf({ requestHeaders, requestBody: bodyOf(body, kept) }), redact).request
}
const masked = (text: string, type = 'application/json') => part(text, redactOf({}), type).body
const removed = (text: string) => part(text, redactOf({ mode: 'remove' })).body
const left = { body: null, body_encoding: 'none', omitted: 'not_redactable' }

describe('names', () => {
  test.each([...defaultJsonFields])('%s', (name) => {
    for (const key of [name, name.toUpperCase(), unicodeEscaped(name)]) {
      expect(part(`{"a":1,"${key}":"${CANARY}"}`)).toMatchObject({
        body: `{"a":1,"${key}":"${MASK}"}`,
        body_encoding: 'utf8',
        redacted: true,
      })
    }
  })

  test.each([
    ['a string with escapes', '"a\\"b\\\\"'],
    ['a string that ends in a backslash', '"a\\\\"'],
    ['an empty string', '""'],
    ['a number', '-1.5e10'],
    ['a literal', 'true'],
    ['null', 'null'],
    ['an object', '{"x":{"y":["}",1]},"z":"]"}'],
    ['an array', '[1,[2,"]"],{"a":"}"}]'],
  ])('the value is %s', (_name, value) => {
    expect(masked(`{"password":${value},"b":1}`)).toBe(`{"password":"${MASK}","b":1}`)
    expect(masked(`[{"b":2},{"password" : ${value} }]`)).toMatch(
      /^\[\{"b":2\},\{"password" : "\[redacted\]" ?\}\]$/,
    )
  })

  test('only keys: values and other keys of that name stay', () => {
    const text = '{"kind":"password","passwords":1,"token_type":"token","a\\"token\\"":"secret","b":["cvv"]}'
    expect(part(text)).toMatchObject({ body: text, body_encoding: 'utf8' })
    expect(part(text)).not.toHaveProperty('redacted')
  })

  test('escapes elsewhere change nothing', () => {
    const text = '{"name":"J\\u00fcrgen","path":"C:\\\\users\\/x"}'
    expect(part(text).body).toBe(text)
    expect(part(text)).not.toHaveProperty('redacted')
  })

  test('remove leaves valid JSON', () => {
    expect(removed('{"password":1,"b":2}')).toBe('{"b":2}')
    expect(removed('{"a":1,"password":2}')).toBe('{"a":1}')
    expect(removed('{"password":1}')).toBe('{}')
    expect(removed('{"password":1,"secret":{"x":1},"b":2,"token":[3],"cvv":4}')).toBe('{"b":2}')
    expect(removed('{ "password" : 1 , "secret" : 2 }')).toBe('{  }')
    expect(removed('[{"token":1},{"a":{"token":1,"b":2}}]')).toBe('[{},{"a":{"b":2}}]')
  })

  test('more names, with any characters', () => {
    const names = ['iban', 'a/b', 'quote"d', 'back\\slash', 'Größe', '🔑', 'a.b*c', '']
    const redact = redactOf({ defaults: false, jsonFields: names.filter((name) => name !== '') })
    for (const name of names.filter((name) => name !== '')) {
      for (const key of [
        JSON.stringify(name),
        JSON.stringify(name).replaceAll('/', '\\/'),
        `"${unicodeEscaped(name)}"`,
      ]) {
        expect(part(`{${key}:"${CANARY}"}`, redact).body).toBe(`{${key}:"${MASK}"}`)
      }
    }
    expect(part('{"axbyc":1,"password":"x"}', redact).body).toBe('{"axbyc":1,"password":"x"}')
  })
})

describe('what else holds JSON', () => {
  test.each([
    ['NDJSON', 'application/x-ndjson', `{"token":"${CANARY}"}\n{"a":1}\r\n{"token":${1234567}}\n`],
    [
      'server-sent events',
      'text/event-stream',
      `event: x\ndata: {"token": "${CANARY}"}\n\ndata: {"token":\ndata: 123}\n\n`,
    ],
    ['a byte order mark', 'application/json', `\uFEFF{"token":"${CANARY}"}`],
    ['a prefix against hijacking', 'application/json', `)]}',\n{"token":"${CANARY}"}`],
    [
      'a page with a script',
      'text/html',
      `<p title="x>it's</p><script>var s = {"token": "${CANARY}"}</script>`,
    ],
    ['no type', '', `{"token":"${CANARY}"}`],
    ['+json', 'application/vnd.api+json', `{"token":"${CANARY}"}`],
    ['broken quotes before it', 'application/json', `{"a":"b,"token":"${CANARY}"}`],
    ['a raw line end in a string', 'application/json', `{"a":"b\n{"token":"${CANARY}","c":"\n"}`],
    ['single quotes', 'application/json', `{"token":'${CANARY},}'}`],
  ])('%s', (_name, type, text) => {
    const { body, redacted } = part(text, redactOf({}), type)
    expect(body).not.toContain(CANARY.slice(0, 3))
    expect(body).not.toMatch(/123/)
    expect(body).toContain(MASK)
    expect(redacted).toBe(true)
  })

  test('nothing but the values changes', () => {
    expect(masked(`data: {"token": "${CANARY}"}\n\ndata: {"a":1}\n\n`, 'text/event-stream')).toBe(
      `data: {"token": "${MASK}"}\n\ndata: {"a":1}\n\n`,
    )
    expect(masked(`{"ä":"ö","token":"${CANARY}","z":"🔑"}`)).toBe(`{"ä":"ö","token":"${MASK}","z":"🔑"}`)
  })
})

describe('bodies that cannot be looked into', () => {
  const utf16 = (text: string) => Buffer.from(text, 'utf16le')
  test.each([
    ['JSON in UTF-16', 'application/json', utf16(`{"token":"${CANARY}"}`)],
    ['JSON that is not UTF-8', 'application/json', Buffer.from(`{"ü":"x","token":"${CANARY}"}`, 'latin1')],
    [
      'unknown bytes with such a key',
      'application/octet-stream',
      Buffer.from(`\xff{"token":"${CANARY}"}`, 'latin1'),
    ],
  ])('%s are left out', (_name, type, bytes) => {
    expect(part(bytes, redactOf({}), type)).toMatchObject({ ...left, body_bytes: bytes.length })
  })

  test('images and other text pass', () => {
    const image = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x00, 0xff, 0x5c, 0x75, 0x22])
    expect(part(image, redactOf({}), 'image/png')).toMatchObject({
      body: image.toString('base64'),
      body_encoding: 'base64',
    })
    expect(part('password=x is prose', redactOf({}), 'text/plain').body).toBe('password=x is prose')
  })

  test('with no names at all everything passes', () => {
    const off = redactOf({ defaults: false })
    const bytes = utf16('{"token":"x"}')
    expect(part(bytes, off)).toMatchObject({ body: bytes.toString('utf8') })
    expect(part('{"token":"x"}', off).body).toBe('{"token":"x"}')
    const headersOnly = redactOf({ defaults: false, headers: ['x-a'] })
    expect(part('{"token":"x"}', headersOnly).body).toBe('{"token":"x"}')
  })
})

describe('pointers', () => {
  const pointing = (...pointers: string[]) => redactOf({ defaults: false, jsonFields: pointers })
  const document = '{"a":{"b":["x",{"c":"y"}],"B":1},"b":"z","":0,"~/":5,"n":[[7]]}'

  test.each([
    ['/a/b/0', '{"a":{"b":["[redacted]",{"c":"y"}],"B":1},"b":"z","":0,"~/":5,"n":[[7]]}'],
    ['/a/b/1/c', '{"a":{"b":["x",{"c":"[redacted]"}],"B":1},"b":"z","":0,"~/":5,"n":[[7]]}'],
    ['/a/b', '{"a":{"b":"[redacted]","B":1},"b":"z","":0,"~/":5,"n":[[7]]}'],
    ['/b', '{"a":{"b":["x",{"c":"y"}],"B":1},"b":"[redacted]","":0,"~/":5,"n":[[7]]}'],
    ['/', '{"a":{"b":["x",{"c":"y"}],"B":1},"b":"z","":"[redacted]","~/":5,"n":[[7]]}'],
    ['/~0~1', '{"a":{"b":["x",{"c":"y"}],"B":1},"b":"z","":0,"~/":"[redacted]","n":[[7]]}'],
    ['/n/0/0', '{"a":{"b":["x",{"c":"y"}],"B":1},"b":"z","":0,"~/":5,"n":[["[redacted]"]]}'],
    ['/c', document],
    ['/a/b/2', document],
    ['/A/b', document],
  ])('%s', (pointer, expected) => {
    expect(part(document, pointing(pointer)).body).toBe(expected)
  })

  test('escaped keys, several documents, lists at the root, numbers as keys', () => {
    expect(part('{"\\u0061":{"b":1}}\n{"a":{"b":2}}', pointing('/a/b')).body).toBe(
      '{"\\u0061":{"b":"[redacted]"}}\n{"a":{"b":"[redacted]"}}',
    )
    expect(part('[1,[2,3]]', pointing('/1/0')).body).toBe('[1,["[redacted]",3]]')
    expect(part('[1,{"0":3}]', pointing('/1/0')).body).toBe('[1,{"0":"[redacted]"}]')
    expect(part('data: {"a":1}\n\ndata: {"a":2}\n\n', pointing('/a'), 'text/event-stream').body).toBe(
      'data: {"a":"[redacted]"}\n\ndata: {"a":"[redacted]"}\n\n',
    )
  })

  test('together with names', () => {
    const redact = redactOf({ jsonFields: ['/user', '/list/0'] })
    expect(part('{"user":{"password":"x"},"token":1,"list":[{"cvv":1},{"cvv":2}]}', redact).body).toBe(
      '{"user":"[redacted]","token":"[redacted]","list":["[redacted]",{"cvv":"[redacted]"}]}',
    )
  })

  test('remove', () => {
    const redact = redactOf({ mode: 'remove', jsonFields: ['/a', '/list/0'] })
    expect(part('{"a":1,"list":[1,2],"token":3}', redact).body).toBe('{"list":[2]}')
  })

  test('what cannot be followed is left out', () => {
    const deep = (depth: number) => `{"a":${'['.repeat(depth)}{"b":1}${']'.repeat(depth)}}`
    expect(part(deep(limits.json_depth_max - 2), pointing('/a/b'))).not.toHaveProperty('omitted')
    expect(part(deep(limits.json_depth_max - 1), pointing('/a/b'))).toMatchObject(left)
    expect(part('{"x":[1},"a":{"b":1}}', pointing('/a/b'))).toMatchObject(left)
    expect(part('[not json: b, "a": "b"}', pointing('/a/b'), 'text/plain')).toMatchObject(left)
    expect(part('prose with "a": "b"}', pointing('/a/b'), 'text/plain').body).toBe('prose with "a": "b"}')
  })
})

test('nesting without end is redacted without a stack', () => {
  const depth = 30_000
  const text = `${'{"a":['.repeat(depth)}{"token":${'['.repeat(depth)}"${CANARY}"`
  expect(masked(text) === `${'{"a":['.repeat(depth)}{"token":"${MASK}"`).toBe(true)
})

test.each([
  ...[
    '"token"',
    '"token":',
    '"token":{',
    '"token" ',
    '\\\\u0074',
    '"\\\\',
    '[',
    '{"a":',
    '"cvv":\'',
    ',',
    '"cvv":"\\\\',
  ],
])('long runs of %j end in good time', (run) => {
  const text = `${run.repeat(200_000 / run.length)}"token":"${CANARY}"`
  for (const redact of [redactOf({}), redactOf({ mode: 'remove', jsonFields: ['/a/b', '/0'] })]) {
    expect(part(text, redact).body?.includes(CANARY) ?? false).toBe(false)
  }
})

function unicodeEscaped(name: string): string {
  return Array.from(
    { length: name.length },
    (_, at) => `\\u${name.charCodeAt(at).toString(16).padStart(4, '0')}`,
  ).join('')
}
