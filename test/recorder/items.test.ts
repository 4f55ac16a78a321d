/**
 * Items look exactly as the contract says: fields, their order, and bodies that a collector can put
 * together again.
 */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { CapturedExchange, RequestPart } from '../../src/contract/exchange.ts'
import { bodyOf, exchangeOf, itemOf, itemText, redactOf } from './sample.ts'

const request = (changes: Partial<CapturedExchange>, mirror = {}): RequestPart =>
  itemOf('request', exchangeOf(changes), mirror).request

describe('whole items, byte for byte', () => {
  test('request', () => {
    const requestHeaders = [
      'Host',
      'api.example.com',
      'traceparent',
      '00-1-2-01',
      'X-Multi',
      'a',
      'x-multi',
      'b',
    ]
    const exchange = exchangeOf({ requestHeaders, requestTrailers: ['X-Sum', '42'] })
    expect(itemText('request', exchange)).toBe(
      '{"id":"0192f0c1-7d3e-7abc-8def-0123456789ab","ts":"2026-11-21T08:00:00.123Z","environment":"dev",' +
        '"collection":"orders","client":{"ip":"192.0.2.1","port":51234},"traceparent":"00-1-2-01",' +
        '"request":{"method":"POST","scheme":"http","host":"api.example.com","path":"/orders",' +
        '"query":"page=2",' +
        '"http_version":"1.1","headers":[["Host","api.example.com"],["traceparent","00-1-2-01"],' +
        '["X-Multi","a"],' +
        '["x-multi","b"]],"body":"{\\"item\\":\\"book\\"}","body_encoding":"utf8","body_bytes":15,' +
        '"truncated":false,' +
        '"trailers":[["X-Sum","42"]]}}\n',
    )
  })

  test('response', () => {
    expect(itemText('response', exchangeOf())).toBe(
      '{"id":"0192f0c1-7d3e-7abc-8def-0123456789ab","ts":"2026-11-21T08:00:00.131Z","environment":"dev",' +
        '"collection":"orders","outcome":"complete","duration_ms":{"total":8.1,"upstream":7.6},' +
        '"upstream":"http://10.0.0.7:3000","response":{"status":201,"http_version":"1.1",' +
        '"headers":[["content-type","application/json"]],"body":"{\\"ok\\":true}","body_encoding":"utf8",' +
        '"body_bytes":11,"truncated":false}}\n',
    )
  })

  test('exchange', () => {
    expect(itemText('exchange', exchangeOf({ requestBody: bodyOf('') }))).toBe(
      '{"id":"0192f0c1-7d3e-7abc-8def-0123456789ab","ts":"2026-11-21T08:00:00.123Z","environment":"dev",' +
        '"collection":"orders","client":{"ip":"192.0.2.1","port":51234},"outcome":"complete",' +
        '"duration_ms":{"total":8.1,"upstream":7.6},"upstream":"http://10.0.0.7:3000",' +
        '"request":{"method":"POST","scheme":"http","host":"api.example.com","path":"/orders",' +
        '"query":"page=2",' +
        '"http_version":"1.1","headers":[["Host","api.example.com"],["Content-Type","application/json"]],' +
        '"body":null,"body_encoding":"none","body_bytes":0,"truncated":false},"response":{"status":201,' +
        '"http_version":"1.1","headers":[["content-type","application/json"]],"body":"{\\"ok\\":true}",' +
        '"body_encoding":"utf8","body_bytes":11,"truncated":false}}\n',
    )
  })

  test('every optional field, in its order', () => {
    const packed = gzipSync('{"token":"x"}')
    const responseBody = { bytes: packed, size: packed.length + 10, limited: true }
    const responseHeaders = ['Content-Type', 'application/json', 'Content-Encoding', 'gzip']
    const exchange = exchangeOf({ responseHeaders, responseBody, responseTrailers: ['a', 'b'] })
    expect(Object.keys(itemOf('response', exchange).response)).toEqual([
      ...['status', 'http_version', 'headers', 'body', 'body_encoding', 'body_bytes', 'truncated'],
      ...['decoded_from', 'redacted', 'capture_limited', 'trailers'],
    ])
    const broken = exchangeOf({ responseHeaders, responseBody: bodyOf('no gzip') })
    expect(Object.keys(itemOf('response', broken).response).slice(6)).toEqual([
      'truncated',
      'decode_error',
      'omitted',
    ])
  })
})

describe('the line of a request', () => {
  test.each([
    ['/orders', '/orders', ''],
    ['/orders?', '/orders', ''],
    ['/a?b=c?d', '/a', 'b=c?d'],
    ['/?x', '/', 'x'],
    ['*', '*', ''],
    ['/caf\u00c3\u00a9', '/caf\u00c3\u00a9', ''],
  ])('%s', (target, path, query) => {
    expect(request({ target })).toMatchObject({ path, query })
  })
})

test('header values keep every byte as a character', () => {
  // Nothing that HTTP lets into a value is a control character other than a tab, or begins or ends blank.
  const all = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('')
  const value = all.replace(/[\0-\x08\n-\x1f\x7f]/g, '').trimStart()
  expect(request({ requestHeaders: ['X-Bytes', value] }).headers).toEqual([['X-Bytes', value]])
})

describe('what became of the exchange', () => {
  test('no answer at all', () => {
    const gone = exchangeOf({
      ...{ outcome: 'client_aborted', status: null, answeredAt: 0, responseVersion: '', responseHeaders: [] },
      responseBody: bodyOf(''),
    })
    expect(itemOf('response', gone)).toMatchObject({
      ts: '2026-11-21T08:00:00.131Z',
      outcome: 'client_aborted',
      response: {
        status: null,
        headers: [],
        body: null,
        body_encoding: 'none',
        body_bytes: 0,
        truncated: false,
      },
    })
  })

  test('durations in thousandths, times over the turn of a second', () => {
    const odd = exchangeOf({ durationMs: 1234.56789, upstreamMs: 0, startedAt: Date.UTC(2026, 0, 1) - 1 })
    expect(itemOf('exchange', odd)).toMatchObject({
      ts: '2025-12-31T23:59:59.999Z',
      duration_ms: { total: 1234.568, upstream: 0 },
    })
    expect(itemOf('request', exchangeOf({ startedAt: Date.UTC(2026, 0, 1) })).ts).toBe(
      '2026-01-01T00:00:00.000Z',
    )
    expect(itemOf('request', exchangeOf({ startedAt: Date.UTC(2026, 0, 1, 0, 0, 0, 7) })).ts).toMatch(
      /00\.007Z$/,
    )
  })
})

describe('bodies', () => {
  test.each([
    ['prose', 'nothing special here, only words. '.repeat(40)],
    [
      'compact JSON',
      JSON.stringify(Array.from({ length: 50 }, (_, id) => ({ id, name: `n${id}`, on: true }))),
    ],
    [
      'every ASCII character',
      Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
        .join('')
        .repeat(9),
    ],
    ['beyond ASCII', 'Größe €5 🔑 \u2028 \uFEFF "x" \\ \n'.repeat(20)],
    ['a byte order mark', '\uFEFF{"a":1}'],
    ['one quote', '"'],
    ['a zero', '\0'],
  ])('text is unchanged: %s', (_name, text) => {
    for (const mirror of [{}, redactOf({ defaults: false })]) {
      const requestHeaders = ['Content-Type', 'text/plain']
      expect(request({ requestHeaders, requestBody: bodyOf(text) }, mirror)).toMatchObject({
        body: text,
        body_encoding: 'utf8',
        body_bytes: Buffer.byteLength(text),
      })
    }
  })

  test('what is not UTF-8 travels as base64', () => {
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, at) => at % 256))
    const part = request({ requestHeaders: ['Content-Type', 'image/png'], requestBody: bodyOf(bytes) })
    expect(part.body_encoding).toBe('base64')
    expect(Buffer.from(part.body ?? '', 'base64').equals(bytes)).toBe(true)
  })

  test('the mirror’s own cap cuts what others wanted longer, and text stays text', () => {
    const text = 'ab🔑cd'
    const requestHeaders = ['Content-Type', 'text/plain']
    const shown = Array.from({ length: 9 }, (_, bodyBytes) => {
      const part = request({ requestHeaders, requestBody: bodyOf(text) }, { bodyBytes })
      expect(part).toMatchObject({ body_bytes: 8, truncated: bodyBytes < 8 })
      expect(part).not.toHaveProperty('capture_limited')
      return [part.body, part.body_encoding]
    })
    const utf8 = (body: string) => [body, 'utf8']
    expect(shown).toEqual([
      ...[[null, 'none'], utf8('a'), utf8('ab'), utf8('ab'), utf8('ab'), utf8('ab')],
      ...[utf8('ab🔑'), utf8('ab🔑c'), utf8('ab🔑cd')],
    ])
  })

  test('cut by memory, by the cap, by both', () => {
    const cut = { bytes: Buffer.from('abc'), size: 10, limited: true }
    const requestHeaders: string[] = []
    const fields = (mirror: object) => request({ requestHeaders, requestBody: cut }, mirror)
    expect(fields({})).toMatchObject({ body: 'abc', truncated: true, capture_limited: true })
    expect(fields({ bodyBytes: 2 })).toMatchObject({ body: 'ab', truncated: true })
    expect(fields({ bodyBytes: 2 })).not.toHaveProperty('capture_limited')
    const nothing = { bytes: Buffer.alloc(0), size: 10, limited: true }
    expect(request({ requestHeaders, requestBody: nothing })).toMatchObject({
      ...{ body: null, body_encoding: 'none', body_bytes: 10, truncated: true, capture_limited: true },
    })
  })

  test('switched off: sizes only', () => {
    const item = itemOf('exchange', exchangeOf(), { requestBody: false, responseBody: false })
    const off = { body: null, body_encoding: 'none', truncated: false }
    expect(item.request).toMatchObject({ ...off, body_bytes: 15 })
    expect(item.response).toMatchObject({ ...off, body_bytes: 11 })
    expect(itemText('exchange', exchangeOf(), { requestBody: false, responseBody: false })).not.toContain(
      'book',
    )
  })
})

describe('content-encoding', () => {
  const text = JSON.stringify({ rows: Array.from({ length: 200 }, (_, id) => ({ id, name: `row ${id}` })) })
  const packed = gzipSync(text)
  const headers = ['Content-Type', 'application/json', 'content-ENCODING', 'gzip']
  const sent = (mirror = {}, kept?: number, requestHeaders = headers) =>
    request({ requestHeaders, requestBody: bodyOf(packed, kept) }, mirror)

  test('undone, with the size on the wire', () => {
    expect(sent()).toMatchObject({
      ...{
        body: text,
        body_encoding: 'utf8',
        decoded_from: 'gzip',
        body_bytes: packed.length,
        truncated: false,
      },
    })
  })

  test('cut on the wire, or cut because it is longer than the cap', () => {
    const half = sent({}, packed.length >>> 1)
    expect(half).toMatchObject({ decoded_from: 'gzip', truncated: true, body_encoding: 'utf8' })
    expect(half.body?.length).toBeGreaterThan(100)
    expect(text.startsWith(half.body ?? '-')).toBe(true)
    const bodyBytes = packed.length + 100
    expect(sent({ bodyBytes })).toMatchObject({
      body: text.slice(0, bodyBytes),
      truncated: true,
      decoded_from: 'gzip',
    })
  })

  test('redacted after decoding', () => {
    const secret = gzipSync('{"password":"canary"}')
    const part = request({ requestHeaders: headers, requestBody: bodyOf(secret) })
    expect(part).toMatchObject({ body: '{"password":"[redacted]"}', decoded_from: 'gzip', redacted: true })
  })

  test('on several fields', () => {
    const requestHeaders = ['Content-Encoding', 'gzip', 'Content-Encoding', 'gzip']
    const part = request({ requestHeaders, requestBody: bodyOf(gzipSync(packed)) })
    expect(part).toMatchObject({ body: text, decoded_from: 'gzip, gzip' })
  })

  const off = redactOf({ defaults: false })
  test.each([
    ['broken', {}, headers, Buffer.from('no gzip'), 'the body is not valid gzip'],
    ['unknown', {}, ['Content-Encoding', 'compress'], packed, 'the content-encoding is not supported'],
    ['not to be undone', { decode: false }, headers, packed, undefined],
  ])(
    '%s: left out while fields are redacted, as sent otherwise',
    (_name, mirror, requestHeaders, bytes, error) => {
      const changes = { requestHeaders, requestBody: bodyOf(bytes) }
      const hidden = request(changes, mirror)
      expect(hidden).toMatchObject({ body: null, body_encoding: 'none', omitted: 'not_redactable' })
      expect(hidden.decode_error).toBe(error)
      const open = request(changes, { ...mirror, ...off })
      const { body, body_encoding } = open
      expect(Buffer.from(body ?? '', body_encoding === 'base64' ? 'base64' : 'utf8').equals(bytes)).toBe(true)
      expect(open.decode_error).toBe(error)
      expect(open).not.toHaveProperty('omitted')
      expect(open).not.toHaveProperty('decoded_from')
    },
  )

  test('identity is no coding, and no body is no error', () => {
    const identity = ['Content-Encoding', 'identity']
    expect(request({ requestHeaders: identity, requestBody: bodyOf('x') })).toMatchObject({ body: 'x' })
    const none = request({ requestHeaders: headers, requestBody: bodyOf('') })
    expect(none).toMatchObject({ body: null, body_encoding: 'none', body_bytes: 0 })
    expect(none).not.toHaveProperty('decode_error')
  })
})
