/** Detectors: what they find wherever it stands, what they leave alone, and that no text makes them slow. */
import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import type { RecordMirror } from '../../src/contract/tasks.ts'
import { Detector } from '../../src/recorder/detect.ts'
import { randomOf } from '../support/random.ts'
import { bodyOf, exchangeOf, itemOf, itemText, redactOf } from './sample.ts'

const all = ['card_number', 'ssn', 'email', 'jwt'] as const
const detector = new Detector(all, () => '#')

const part = (value: object | string) => Buffer.from(JSON.stringify(value)).toString('base64url')
const jwt = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'ada', n: 'x'.repeat(50) })}.c2lnbmF0dXJl-_9`
const jwe = `${part({ alg: 'RSA-OAEP', enc: 'A256GCM' })}.a2V5.aXY.Y2lwaGVy.dGFn`

test.each([
  // Card numbers that the brands publish for tests.
  ['4111111111111111', '#'],
  ['card 4111 1111 1111 1111 123 exp 12/27', 'card # 123 exp 12/27'],
  ['4111-1111-1111-1111', '#'],
  ['5555555555554444,2223003122003222', '#,#'],
  ['378282246310005 3782 822463 10005', '# #'],
  ['6011111111111117 3530111333300000', '# #'],
  ['30569309025904 3056 930902 5904', '# #'],
  ['6205500000000000004', '#'],
  ['4222222222222.', '#.'],
  ['paid with 4111111111111111, thanks', 'paid with #, thanks'],
  ['1234 4111 1111 1111 1111', '1234 #'],
  ['\\n4111111111111111\\n', '\\n#\\n'],
  ['\\u00204111111111111111', '\\u0020#'],
  ['078-05-1120', '#'],
  ['ssn:078 05 1120;', 'ssn:#;'],
  ['ada@example.com', '#'],
  ['Ada <ada.lovelace+x@mail.example.co.uk>', 'Ada <#>'],
  ['\\nada@example.com\\n', '\\n#\\n'],
  ['john\\u002Bx@example.com', '#'],
  ['mailto:a@b.io?subject=x', 'mailto:#?subject=x'],
  ['a@b.example.', '#.'],
  ['a@xn--bcher-kva.xn--p1ai', '#'],
  [`Bearer ${jwt}`, 'Bearer #'],
  [`{"t":"${jwt}"}`, '{"t":"#"}'],
  [jwe, '#'],
])('%j becomes %j', (text, expected) => {
  expect(detector.text(text, false)).toBe(expected)
})

test.each([
  ['an order number', 'ORD-4111111111111111'],
  ['an identifier', 'order_4111111111111111 x4111111111111111 4111111111111111x'],
  ['an order number that fails the check digit', '4111111111111112'],
  ['a number of no brand', '1111111111111117 9999999999999995'],
  ['a UUID', '550e8400-e29b-41d4-a716-446655440000 00004111-1111-1111-1111-111111111111'],
  ['a UUID version 7', '0192f0c1-7d3e-7abc-8def-0123456789ab'],
  ['timestamps', '1732176000123 1732176000123456 1732176000123456789 2026-11-21T08:00:00.123Z'],
  ['a fraction', '0.4111111111111111 -4111111111111111.5 12.4111111111111111'],
  ['a long number', '41111111111111111111111111111111'],
  ['a phone number', '+1 415-555-2671 (415) 555-2671 030-12345678'],
  ['a date and an address', '2024-05-16 192.168.100.200 10.0.0.1:3000'],
  ['numbers that were never given out', '000-12-3456 666-12-3456 912-34-5678 123-00-4567 123-45-0000'],
  ['a longer run of groups', '123-45-6789-01 01-123-45-6789'],
  ['nine digits', '078051120'],
  ['a trace', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
  ['a picture and a package', 'logo@2x.png @scope/package react@18.2.0 user@localhost'],
  ['something with an at sign', 'a@ @b.c a @b.com a@.com a@b..com a@b.c x@1.2.3.4'],
  ['a token that is none', 'eyJhbGciOiJIUzI1NiJ9 eyJhb.eyJx.y eyJ.eyJ.eyJ'],
  ['a hash', 'd41d8cd98f00b204e9800998ecf8427e sha256:4111111111111111e3b0c442'],
])('%s stays', (_, text) => {
  expect(detector.text(text, false)).toBe(text)
})

test('random order numbers are hardly ever taken for cards', () => {
  const random = randomOf(3)
  let found = 0
  for (let round = 0; round < 20_000; round += 1) {
    const digits = Array.from({ length: 10 + random.below(10) }, () => random.below(10)).join('')
    if (detector.text(digits, false) !== digits) found += 1
  }
  expect(found / 20_000).toBeLessThan(0.02)
})

test('each detector finds its own only', () => {
  const text = `4111111111111111 078-05-1120 a@example.com ${jwt}`
  const words = text.split(' ')
  all.forEach((name, at) => {
    const found = new Detector([name], () => '#').text(text, false).split(' ')
    expect(found).toEqual(words.map((word, place) => (place === at ? '#' : word)))
  })
})

test('JSON stays JSON: numbers get quotes, texts do not, wherever quotes and escapes stand', () => {
  const text =
    '{"a":4111111111111111,"b":"x, 4111111111111111, y","c":[4111111111111111],"d":"\\"4111111111111111"}'
  const redacted = detector.text(text, true)
  expect(JSON.parse(redacted)).toEqual({ a: '#', b: 'x, #, y', c: ['#'], d: '"#' })
  expect(JSON.parse(new Detector(all, () => '').text(text, true))).toEqual({
    a: null,
    b: 'x, , y',
    c: [null],
    d: '"',
  })
})

const SECRETS = ['4111111111111111', '4111 1111 1111 1111', '078-05-1120', 'ada@example.com', jwt]

test('in bodies, queries, paths and headers of an item, which says that it was redacted', () => {
  const rules = redactOf({ defaults: false, detect: [...all] })
  for (const secret of SECRETS) {
    const encoded = encodeURIComponent(secret)
    for (const [name, exchange] of Object.entries({
      json: exchangeOf({ requestBody: bodyOf(JSON.stringify({ note: `x ${secret} y` })) }),
      cut: exchangeOf({ requestBody: bodyOf(`{"note":"x ${secret} y","rest":"${'z'.repeat(99)}"}`, 600) }),
      form: exchangeOf({
        requestHeaders: ['Content-Type', 'application/x-www-form-urlencoded'],
        requestBody: bodyOf(`a=1&note=${new URLSearchParams({ s: secret }).toString().slice(2)}&b=2`),
      }),
      text: exchangeOf({
        requestHeaders: ['Content-Type', 'text/csv'],
        requestBody: bodyOf(`id;note\n1;${secret}\n`),
      }),
      query: exchangeOf({ target: `/a?x=1&note=${encoded}` }),
      path: exchangeOf({ target: `/users/${encoded}/orders` }),
      header: exchangeOf({ requestHeaders: ['X-Note', `for ${secret}`] }),
      referer: exchangeOf({ requestHeaders: ['Referer', `http://a/?q=${encoded}`] }),
    })) {
      const item = itemOf('request', exchange, rules)
      const text = JSON.stringify(item)
      expect(text, name).not.toContain(secret)
      expect(text, name).not.toContain(encoded)
      expect(text, name).toContain('[redacted]')
      expect(item.request.redacted, name).toBe(true)
    }
  }
})

test.each([
  ['ada@example.com%20bob%40example.com', '#%20#'],
  ['4111111111111111%20078-05-1120%20ada%40example.com%C3%BC', '#%20#%20#%C3%BC'],
  ['a%2Fb,ada@example.com,a%2Fb,4111+1111+1111+1111,%zz', 'a%2Fb,#%2Ca%2Fb%2C#%2C%25zz'],
])('of %s, plain and encoded, nothing stays', (text, expected) => {
  expect(detector.encoded(text, true)).toBe(expected)
})

test('in all that an event of an API log says, beside the details and without them', () => {
  const exchange = exchangeOf({
    target: `/u/ada@example.com/4111111111111111?mail=ada%40example.com`,
    requestHeaders: ['User-Agent', 'app/1 (ada@example.com)', 'traceparent', 'of ada@example.com'],
  })
  const rules = redactOf({ defaults: false, detect: ['email', 'card_number'] })
  for (const format of ['api_summary', 'api_details', 'exchange'] as const) {
    const text = itemText('exchange', exchange, { ...rules, format })
    expect(text, format).not.toMatch(/ada(?:@|%40)example|4111/)
    expect(text, format).toContain('/u/[redacted]/[redacted]')
  }
  const { client, path, endpoint } = JSON.parse(
    itemText('exchange', exchange, { ...rules, format: 'api_summary' }),
  )
  expect([path, endpoint]).toEqual(['/u/[redacted]/[redacted]', 'POST /u/[redacted]/[redacted]'])
  expect(client.user_agent).toBe('app/1 ([redacted])')
})

test('text of another character set is left out where it holds something, a picture is not', () => {
  const rules = redactOf({ defaults: false, detect: ['email'] })
  const bytes = Buffer.concat([Buffer.from([0xe4, 0xff]), Buffer.from(' ada@example.com ')])
  const asType = (type: string) =>
    itemOf(
      'request',
      exchangeOf({ requestHeaders: ['Content-Type', type], requestBody: bodyOf(bytes) }),
      rules,
    )
  expect(asType('text/csv; charset=latin1').request).toMatchObject({ body: null, omitted: 'not_redactable' })
  expect(asType('image/png').request).toMatchObject({ body_encoding: 'base64' })
})

test('names are redacted first, and what neither finds is the very same item', () => {
  const exchange = exchangeOf({ requestBody: bodyOf(`{"password":"a@example.com","mail":"b@example.com"}`) })
  const item = itemOf('request', exchange, redactOf({ detect: ['email'] }))
  expect(item.request.body).toBe('{"password":"[redacted]","mail":"[redacted]"}')
  const plain = exchangeOf({ requestBody: bodyOf('{"order":4111111111111112}') })
  expect(itemText('exchange', plain, redactOf({ detect: [...all] }))).toBe(itemText('exchange', plain))
})

const hashed = (changes: Partial<RecordMirror['redact']> = {}) =>
  redactOf({ mode: 'hash', hashKey: 'k'.repeat(32), ...changes })
const tokenOf = (value: string, key = 'k'.repeat(32)) =>
  `[hash:${createHmac('sha256', key).update(value).digest('base64url').slice(0, 16)}]`

test('hash: one value has one token, wherever it stands and however it is written', () => {
  const secret = 's3cr€t "quoted" & more'
  const exchange = exchangeOf({
    target: `/a?token=${encodeURIComponent(secret)}&x=1`,
    requestHeaders: ['Authorization', 'Bearer abc', 'Content-Type', 'application/json'],
    requestBody: bodyOf(JSON.stringify({ password: secret, cvv: 123, nested: { token: secret } })),
  })
  const item = itemOf('request', exchange, hashed())
  const token = tokenOf(secret)
  expect(item.request.query).toBe(`token=${token}&x=1`)
  expect(item.request.headers).toContainEqual(['Authorization', tokenOf('Bearer abc')])
  expect(JSON.parse(item.request.body as string)).toEqual({
    password: token,
    cvv: tokenOf('123'),
    nested: { token },
  })
  const form = exchangeOf({
    requestHeaders: ['Content-Type', 'application/x-www-form-urlencoded'],
    requestBody: bodyOf(new URLSearchParams({ password: secret }).toString()),
  })
  expect(itemOf('request', form, hashed()).request.body).toBe(`password=${token}`)
  const other = itemOf('request', exchange, hashed({ hashKey: 'other' }))
  expect(other.request.query).toBe(`token=${tokenOf(secret, 'other')}&x=1`)
})

test('hash: what a detector finds has the token of its text', () => {
  const exchange = exchangeOf({
    target: '/a?who=ada%40example.com',
    requestBody: bodyOf('{"mail":"ada@example.com","card":4111111111111111}'),
  })
  const { request } = itemOf('request', exchange, hashed({ detect: [...all] }))
  expect(request.query).toBe(`who=${tokenOf('ada@example.com')}`)
  expect(JSON.parse(request.body as string)).toEqual({
    mail: tokenOf('ada@example.com'),
    card: tokenOf('4111111111111111'),
  })
})

/** Each text is built to make one step of the walk as long as it can be. */
test('hostile texts take linear time', () => {
  const pumps = [
    '4111 ',
    '1-',
    '4111',
    'a',
    'a.',
    '@',
    'a@',
    'a@b.',
    'eyJ',
    'eyJa.',
    '.',
    '\\',
    '\\u002B',
    '"',
    '%2',
  ]
  /** CPU milliseconds of this thread: a busy machine does not count. */
  const timeOf = (text: string) => {
    const started = process.threadCpuUsage()
    detector.text(text, true)
    detector.parts(text, true)
    const { user, system } = process.threadCpuUsage(started)
    return (user + system) / 1000
  }
  const best = (text: string) => Math.min(...Array.from({ length: 3 }, () => timeOf(text)))
  for (const pump of pumps) {
    for (const start of ['', 'a@']) {
      const make = (chars: number) => start + pump.repeat(Math.ceil(chars / pump.length))
      const short = best(make(8000))
      // 8 times when linear, 64 times when quadratic: then seconds, where a step takes a nanosecond.
      expect(best(make(64_000)), `${start}${pump}…`).toBeLessThan(Math.max(200, 30 * short))
    }
  }
})
