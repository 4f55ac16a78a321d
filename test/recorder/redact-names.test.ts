/**
 * Credentials in heads and queries are taken out by name: the exact lists, in any spelling (traps F5, F6).
 */
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { HeaderPairs } from '../../src/contract/exchange.ts'
import { defaultHeaders, defaultJsonFields, defaultQuery } from '../../src/recorder/redact.ts'
import { bodyOf, exchangeOf, itemOf, itemText, redactOf } from './sample.ts'

const MASK = '[redacted]'
const CANARY = 'canary-5f2b'

function requestHeaders(list: readonly string[], redact = redactOf({})): HeaderPairs {
  return itemOf('request', exchangeOf({ requestHeaders: list }), redact).request.headers
}
function queryOf(query: string, redact = redactOf({})): string {
  return itemOf('request', exchangeOf({ target: `/p?${query}` }), redact).request.query
}

test('the built-in names are those that docs/redaction.md lists', async () => {
  const page = await readFile(new URL('../../docs/redaction.md', import.meta.url), 'utf8')
  const listed = (where: string): string[] => {
    const row = page.split('\n').find((line) => line.startsWith(`| ${where}`))
    return [...(row ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
  }
  expect(listed('headers')).toEqual([...defaultHeaders])
  expect(listed('query')).toEqual([...defaultQuery])
  expect(listed('JSON fields')).toEqual([...defaultJsonFields])
})

describe('headers', () => {
  test.each([...defaultHeaders])('%s', (name) => {
    for (const spelling of [name, name.toUpperCase(), name.replace(/^./, (first) => first.toUpperCase())]) {
      const exchange = exchangeOf({
        requestHeaders: [spelling, CANARY, 'Accept', '*/*', spelling, CANARY],
        responseHeaders: [spelling, CANARY],
        requestTrailers: [spelling, CANARY],
        responseTrailers: [spelling, CANARY],
      })
      const { request, response } = itemOf('exchange', exchange)
      expect(request.headers).toEqual([
        [spelling, MASK],
        ['Accept', '*/*'],
        [spelling, MASK],
      ])
      expect(response.headers).toEqual([[spelling, MASK]])
      expect(request.trailers).toEqual([[spelling, MASK]])
      expect(response.trailers).toEqual([[spelling, MASK]])
      expect([request.redacted, response.redacted]).toEqual([true, true])
    }
  })

  test('names that only look alike stay, and nothing is flagged', () => {
    const list = ['Authentication', 'a', 'X-Authorization-Mode', 'b', 'Cookie2', 'c', 'api_token', 'd']
    const item = itemOf('request', exchangeOf({ requestHeaders: list, target: '/p' }))
    expect(item.request.headers.flat()).toEqual(list)
    expect(item.request).not.toHaveProperty('redacted')
  })

  test('more names, in any case', () => {
    const redact = redactOf({ headers: ['X-Session'] })
    expect(requestHeaders(['x-SESSION', CANARY, 'Cookie', CANARY], redact)).toEqual([
      ['x-SESSION', MASK],
      ['Cookie', MASK],
    ])
  })

  test('remove takes the field away', () => {
    const redact = redactOf({ mode: 'remove' })
    expect(requestHeaders(['Host', 'h', 'Cookie', CANARY, 'Accept', '*/*'], redact)).toEqual([
      ['Host', 'h'],
      ['Accept', '*/*'],
    ])
  })

  test('defaults off: only what is named', () => {
    const redact = redactOf({ defaults: false, headers: ['x-a'] })
    expect(requestHeaders(['Authorization', 'Basic x', 'X-A', CANARY], redact)).toEqual([
      ['Authorization', 'Basic x'],
      ['X-A', MASK],
    ])
  })

  test('traceparent is shown, unless it is redacted', () => {
    const exchange = exchangeOf({ requestHeaders: ['traceparent', CANARY] })
    expect(itemOf('request', exchange).traceparent).toBe(CANARY)
    const hidden = itemText('request', exchange, redactOf({ headers: ['traceparent'] }))
    expect(hidden).not.toContain(CANARY)
  })
})

test('a user agent that is redacted is nowhere in an event of an API log', () => {
  const exchange = exchangeOf({ requestHeaders: ['USER-Agent', CANARY] })
  const clientOf = (changes: Parameters<typeof redactOf>[0]) =>
    JSON.parse(itemText('exchange', exchange, { ...redactOf(changes), format: 'api_summary' })).client
  expect(clientOf({}).user_agent).toBe(CANARY)
  expect(clientOf({ headers: ['user-agent'] }).user_agent).toBe(MASK)
  expect(clientOf({ headers: ['user-agent'], mode: 'remove' }).user_agent).toBeNull()
})

describe('queries', () => {
  test.each([...defaultQuery])('%s', (name) => {
    expect(queryOf(`a=1&${name}=${CANARY}&b=2`)).toBe(`a=1&${name}=${MASK}&b=2`)
    expect(queryOf(`${name.toUpperCase()}=${CANARY}`)).toBe(`${name.toUpperCase()}=${MASK}`)
  })

  test.each([
    ['percent-encoded name', `p%61ssword=${CANARY}`, `p%61ssword=${MASK}`],
    ['wholly encoded name', `%74%6F%6b%65%6E=${CANARY}`, `%74%6F%6b%65%6E=${MASK}`],
    ['broken encoding beside it', `%zz=1&t%6Fken=${CANARY}`, `%zz=1&t%6Fken=${MASK}`],
    ['name with invalid UTF-8', `%ff=1&token=${CANARY}`, `%ff=1&token=${MASK}`],
    ['spaces around the name', `+token%20=${CANARY}`, `+token%20=${MASK}`],
    ['equals signs in the value', `token=${CANARY}=${CANARY}==`, `token=${MASK}`],
    ['semicolon in the value', `token=a;${CANARY}&b=2`, `token=${MASK}&b=2`],
    ['semicolon as a separator', `a=1;token=${CANARY}&b=2`, `a=1;token=${MASK}&b=2`],
    ['semicolons all the way', `a=1;b=2;sig=${CANARY}`, `a=1;b=2;sig=${MASK}`],
    ['several', `token=${CANARY}&token=${CANARY}`, `token=${MASK}&token=${MASK}`],
    ['brackets', `user[password]=${CANARY}&token[]=${CANARY}`, `user[password]=${MASK}&token[]=${MASK}`],
    ['encoded brackets', `user%5Bpassword%5D=${CANARY}`, `user%5Bpassword%5D=${MASK}`],
    ['no value', 'token&token=&a', `token&token=${MASK}&a`],
    ['other names', 'tokens=1&monkey=2&page=3', 'tokens=1&monkey=2&page=3'],
    ['a second question mark', `a=?b&token=${CANARY}`, `a=?b&token=${MASK}`],
    ['empty', '', ''],
    ['only separators', '&&;;&', '&&;;&'],
  ])('%s', (_name, query, expected) => {
    expect(queryOf(query)).toBe(expected)
  })

  test.each([
    [`a=1&token=${CANARY}&b=2`, 'a=1&b=2'],
    [`token=${CANARY}`, ''],
    [`a=1;token=${CANARY}&b=2`, 'a=1&b=2'],
  ])('remove: %s', (query, expected) => {
    expect(queryOf(query, redactOf({ mode: 'remove' }))).toBe(expected)
  })

  test('more names', () => {
    const redact = redactOf({ defaults: false, query: ['Session-ID'] })
    expect(queryOf(`session-id=${CANARY}&token=1`, redact)).toBe(`session-id=${MASK}&token=1`)
  })

  test.each(['Referer', 'referer', 'LOCATION', 'Location'])('in %s', (name) => {
    const value = `https://app.example.com/cb?a=1&token=${CANARY}#access_token=${CANARY}&state=2`
    const shown = `https://app.example.com/cb?a=1&token=${MASK}#access_token=${MASK}&state=2`
    expect(requestHeaders([name, value])).toEqual([[name, shown]])
    const { response } = itemOf('response', exchangeOf({ responseHeaders: [name, value] }))
    expect(response).toMatchObject({ headers: [[name, shown]], redacted: true })
    expect(requestHeaders([name, '/plain?page=2#top'])).toEqual([[name, '/plain?page=2#top']])
  })
})

describe('form bodies', () => {
  const type = (value: string) => ['Content-Type', value]
  const form = (text: string, redact = redactOf({})) =>
    itemOf(
      'request',
      exchangeOf({
        requestHeaders: type('application/x-www-form-urlencoded; charset=utf-8'),
        requestBody: bodyOf(text),
      }),
      redact,
    ).request

  test('query names and field names', () => {
    const names = [...new Set([...defaultQuery, ...defaultJsonFields])]
    for (const name of names) {
      expect(form(`user=ada&${name}=${CANARY}&x=1`)).toMatchObject({
        body: `user=ada&${name}=${MASK}&x=1`,
        body_encoding: 'utf8',
        redacted: true,
      })
    }
    expect(form(`pass%77ord=${CANARY}`).body).toBe(`pass%77ord=${MASK}`)
    expect(form('user=ada&x=1')).not.toHaveProperty('redacted')
  })

  test('JSON that is called a form, as curl does', () => {
    expect(form(`{"password":"${CANARY}","a":1}`).body).toBe(`{"password":"${MASK}","a":1}`)
  })

  test('a form that is not text is left out', () => {
    const requestBody = bodyOf(Buffer.from(`a=\xff&password=${CANARY}`, 'latin1'))
    const headers = type('application/x-www-form-urlencoded')
    const { request } = itemOf('request', exchangeOf({ requestHeaders: headers, requestBody }))
    expect(request).toMatchObject({ body: null, body_encoding: 'none', omitted: 'not_redactable' })
  })

  const part = (head: string, value: string) => `--b\r\n${head}\r\n\r\n${value}\r\n`
  const multipart = (text: string | Buffer) =>
    itemOf(
      'request',
      exchangeOf({ requestHeaders: type('multipart/form-data; boundary=b'), requestBody: bodyOf(text) }),
    ).request

  test.each([
    'Content-Disposition: form-data; name="password"',
    'content-disposition:form-data;name=password',
    'Content-Disposition: form-data; filename="a.txt"; name="PassWord"',
    'Content-Disposition: form-data;\r\n name="password"',
    "Content-Disposition: form-data; name*=utf-8''p%61ssword",
    'Content-Disposition: form-data; name="user[password]"',
    'Content-Disposition: form-data; name="pass\\word"',
    'Content-Type: text/plain\r\nContent-Disposition: form-data; name = "token"',
  ])('multipart with %j is left out', (head) => {
    const text = `${part('Content-Disposition: form-data; name="a"', '1')}${part(head, CANARY)}--b--\r\n`
    expect(multipart(text)).toMatchObject({ body: null, body_encoding: 'none', omitted: 'not_redactable' })
    const binary = Buffer.concat([Buffer.from(text), Buffer.from([0xff, 0x00, 0xfe])])
    expect(multipart(binary)).toMatchObject({ body: null, omitted: 'not_redactable' })
  })

  test('multipart without such a field passes, JSON parts are redacted', () => {
    const plain = part('Content-Disposition: form-data; name="file"; filename="token.txt"', 'hello')
    expect(multipart(plain)).toMatchObject({ body: plain, body_encoding: 'utf8' })
    const json = part('Content-Disposition: form-data; name="meta"', `{"secret": "${CANARY}"}`)
    expect(multipart(json).body).toBe(json.replace(CANARY, MASK))
    const binary = Buffer.concat([Buffer.from(plain), Buffer.from([0xff, 0x00])])
    expect(multipart(binary)).toMatchObject({ body: binary.toString('base64'), body_encoding: 'base64' })
  })
})

test.each([';', '&', ';=', 'a;', '?', '%', '[', 'token', 'a=;', '+'])(
  'long runs of %j end in good time',
  (run) => {
    const text = `${run.repeat(200_000 / run.length)}=1&token=${CANARY}`
    const requestHeaders = ['Content-Type', 'application/x-www-form-urlencoded', 'Referer', `/?${text}`]
    const exchange = exchangeOf({ requestHeaders, target: `/?${text}`, requestBody: bodyOf(text) })
    expect(itemText('request', exchange).includes(CANARY)).toBe(false)
  },
)
