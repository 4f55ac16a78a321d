/** A log line is JSON, holds no secret and no body, and stays short. */
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { createLog } from '../../src/telemetry/log.ts'

function start(level: 'info' | 'debug' = 'info', format: 'json' | 'pretty' | 'auto' = 'json') {
  let text = ''
  const into = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  const log = createLog({ level, format }, into)
  const lines = () =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { log, lines, text: () => text }
}

const canary = 'canary-5b1d7f'

test('a line has level, time and message', () => {
  const { log, lines } = start('info', 'auto')
  log.info({ mirror: 'salt', items: 3 }, 'batch %s', 'sent')
  expect(lines()).toEqual([
    {
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      mirror: 'salt',
      items: 3,
      msg: 'batch sent',
    },
  ])
})

test('the level changes while the log is in use', () => {
  const { log, lines } = start('info')
  log.debug('one')
  log.level = 'debug'
  log.debug('two')
  log.level = 'silent'
  log.fatal('three')
  expect(lines().map(({ msg }) => msg)).toEqual(['two'])
})

test.for([
  'authorization',
  'Authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'Set-Cookie',
  'token',
  'access_token',
  'refreshToken',
  'password',
  'passwd',
  'passphrase',
  'secret',
  'client_secret',
  'api_key',
  'apiKey',
  'x-api-key',
  'apikey',
  'private_key',
  'credentials',
])('the value under %s is taken out, at any depth', (key) => {
  const { log, lines, text } = start()
  log.info({ [key]: canary, a: { b: [{ [key]: canary }] }, c: { [key]: { deeper: canary } } }, 'x')
  expect(text()).not.toContain(canary)
  expect(lines()[0]).toMatchObject({ [key]: '[redacted]', a: { b: [{ [key]: '[redacted]' }] } })
})

test('credentials inside of texts are taken out', () => {
  const { log, text } = start()
  log.info({ note: `Authorization: Bearer ${canary}`, url: `https://user:${canary}@host/path` }, 'x')
  log.warn(`header was Basic ${canary}`)
  log.error(new Error(`sent bearer ${canary}`, { cause: new Error(`to http://u:${canary}@h/`) }))
  log.error({ err: new Error(`Basic ${canary}`) }, 'failed: %s', `Bearer ${canary}`)
  expect(text()).not.toContain(canary)
  expect(text()).toContain('https://[redacted]@host/path')
})

test('bodies and bytes are left out', () => {
  const { log, lines, text } = start()
  log.info({ body: canary, requestBody: canary, response_body: canary, raw: Buffer.from(canary) }, 'x')
  log.info({ body_bytes: 12, bytes: new Uint8Array(5) }, 'y')
  expect(text()).not.toContain(canary)
  expect(lines()[0]).toMatchObject({ body: '[left out]', raw: `(${canary.length} bytes)` })
  expect(lines()[1]).toMatchObject({ body_bytes: 12, bytes: '(5 bytes)' })
})

test('a line is bounded, whatever is logged', () => {
  const { log, text } = start()
  const cycle: Record<string, unknown> = { name: 'cycle' }
  cycle.self = cycle
  const wide = Object.fromEntries(
    Array.from({ length: 1000 }, (_, index) => [`k${index}`, 'x'.repeat(10_000)]),
  )
  for (const write of [
    () => log.info('x'.repeat(1_000_000)),
    () => log.info({ text: 'x'.repeat(1_000_000) }, 'x'),
    () => log.info({ wide, again: wide, list: Array(10_000).fill('y'.repeat(100)) }, 'x'),
    () => log.info({ ['k'.repeat(1_000_000)]: 1 }, 'x'),
    () => log.info({ cycle, list: [cycle, [[[[[[[['deep']]]]]]]]] }, 'x'),
    () => log.error(new Error('x'.repeat(1_000_000))),
    () => log.info('%s', 'x'.repeat(1_000_000)),
  ]) {
    const before = text().length
    write()
    expect(text().length - before).toBeLessThan(64 * 1024)
  }
})

test('errors keep their type, code, cause and stack', () => {
  const { log, lines } = start()
  const error = Object.assign(new TypeError('outer', { cause: new Error('inner') }), { code: 'ECONNRESET' })
  log.error(error)
  log.error({ err: error }, 'sending failed')
  expect(lines()[0]).toMatchObject({
    msg: 'outer',
    err: {
      type: 'TypeError',
      message: 'outer',
      code: 'ECONNRESET',
      cause: { type: 'Error', message: 'inner' },
    },
  })
  expect(lines()[1]).toMatchObject({
    msg: 'sending failed',
    err: { stack: expect.stringContaining('log-lines.test') },
  })
})

test('values that JSON does not know do not break a line', () => {
  const { log, lines } = start()
  const odd = {
    big: 12n,
    call: () => 1,
    nan: Number.NaN,
    no: undefined,
    date: new Date(Number.NaN),
    nothing: null,
  }
  log.info(odd, 'x')
  log.info({ map: new Map([[1, 2]]), symbol: Symbol('s') }, 'y')
  expect(lines()[0]).toMatchObject({ big: '12', nan: null, date: null, nothing: null })
  expect(lines()).toHaveLength(2)
})

test('pretty lines are text for people, with the same rules', () => {
  const { log, text } = start('info', 'pretty')
  log.info({ mirror: 'salt', token: canary }, 'hello')
  expect(text()).toMatch(/INFO: hello\n\s+mirror: "salt"/)
  expect(text()).not.toContain(canary)
})
