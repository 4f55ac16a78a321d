/** What is refused before anything of it reaches an upstream, with the contract's answer and a close. */
import { beforeAll, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { RawClient } from '../support/client.ts'
import { startThread, type DataThread } from '../support/data-thread.ts'
import { type HttpUpstream, startRawUpstream, startUpstream } from '../support/upstream.ts'

let upstream: HttpUpstream
let thread: DataThread

beforeAll(async () => {
  upstream = await startUpstream()
  thread = await startThread(upstream, {
    collections: [
      { name: 'api', upstreams: [{ url: upstream.url }] },
      { name: 'admin', prefix: '/admin', upstreams: [{ url: upstream.url }] },
      { name: 'cut', prefix: '/cut', strip_prefix: true, upstreams: [{ url: upstream.url }] },
    ],
  })
})

const get = (fields: string, target = '/', version = 'HTTP/1.1'): string =>
  `GET ${target} ${version}\r\n${fields}\r\n`
const post = (fields: string, body = '', version = 'HTTP/1.1'): string =>
  `POST / ${version}\r\nHost: a\r\n${fields}\r\n${body}`
const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body)

const malformed: Record<string, string> = {
  // RFC 9112 §6.1, §6.3
  'a length and chunks': post('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'chunks and a length': post('Transfer-Encoding: chunked\r\nContent-Length: 3\r\n', '0\r\n\r\n'),
  'two lengths': post('Content-Length: 2\r\nContent-Length: 2\r\n', 'ab'),
  'two different lengths': post('Content-Length: 2\r\nContent-Length: 3\r\n', 'abc'),
  'a list of lengths': post('Content-Length: 2, 2\r\n', 'ab'),
  'a length with a sign': post('Content-Length: +2\r\n', 'ab'),
  'a negative length': post('Content-Length: -2\r\n', 'ab'),
  'a hexadecimal length': post('Content-Length: 0x2\r\n', 'ab'),
  'an empty length': post('Content-Length:\r\n', 'ab'),
  'a length with a space in it': post('Content-Length: 1 2\r\n', 'ab'),
  'a length beyond any number': post(`Content-Length: ${'9'.repeat(20)}\r\n`, 'ab'),
  'an unknown coding': post('Transfer-Encoding: gzip\r\n', '0\r\n\r\n'),
  'a coding before chunked': post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
  'chunked and a coding': post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'),
  'chunked twice in a list': post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'),
  'chunked twice': post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'a coding that looks like chunked': post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'),
  'an empty coding': post('Transfer-Encoding:\r\n', '0\r\n\r\n'),
  'chunks in HTTP/1.0': post('Transfer-Encoding: chunked\r\n', '0\r\n\r\n', 'HTTP/1.0'),
  // RFC 9112 §7.1
  'a chunk size with a space before it': chunked(' 1\r\na\r\n0\r\n\r\n'),
  'a chunk size with a space after it': chunked('1 \r\na\r\n0\r\n\r\n'),
  'a chunk size with a prefix': chunked('0x1\r\na\r\n0\r\n\r\n'),
  'a chunk size with a sign': chunked('+1\r\na\r\n0\r\n\r\n'),
  'no chunk size': chunked('\r\na\r\n0\r\n\r\n'),
  'a chunk size beyond any number': chunked(`${'f'.repeat(17)}\r\na\r\n0\r\n\r\n`),
  'a chunk size that ends in a bare line feed': chunked('1\na\r\n0\r\n\r\n'),
  'a chunk longer than its size': chunked('1\r\nab\r\n0\r\n\r\n'),
  'a chunk that ends in a bare line feed': chunked('1\r\na\n0\r\n\r\n'),
  'an extension without a name': chunked('1;\r\na\r\n0\r\n\r\n'),
  'an extension with a bare line feed': chunked('1;a=\nb\r\na\r\n0\r\n\r\n'),
  'an extension with an open quote': chunked('1;a="b\r\na\r\n0\r\n\r\n'),
  'an extension with a control': chunked('1;a=\x01\r\na\r\n0\r\n\r\n'),
  'a trailer with a space before its colon': chunked('0\r\na : b\r\n\r\n'),
  'a trailer that continues': chunked('0\r\na: b\r\n c\r\n\r\n'),
  // RFC 9112 §2.2, §5
  'a folded field': get('Host: a\r\nX-A: b\r\n c\r\n'),
  'a first field that continues nothing': get(' Host: a\r\n'),
  'a bare line feed after the request line': 'GET / HTTP/1.1\nHost: a\r\n\r\n',
  'a bare line feed after a field': 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n',
  'a bare line feed in a field': get('Host: a\r\nX: a\nb\r\n'),
  'a bare carriage return in a field': get('Host: a\r\nX: a\rb\r\n'),
  'a bare carriage return in the request line': 'GET /\r HTTP/1.1\r\nHost: a\r\n\r\n',
  'a NUL in a field': get('Host: a\r\nX: a\0b\r\n'),
  'a control in a field': get('Host: a\r\nX: a\x07b\r\n'),
  'a DEL in a field': get('Host: a\r\nX: a\x7fb\r\n'),
  'a NUL in a name': get('Host: a\r\nX\0: a\r\n'),
  'a space before the colon': get('Host: a\r\nX : b\r\n'),
  'a space before the colon of a length': post('Content-Length : 2\r\n', 'ab'),
  'a name with a bad character': get('Host: a\r\nX(y): b\r\n'),
  'no name': get('Host: a\r\n: b\r\n'),
  'no colon': get('Host: a\r\nX\r\n'),
  // RFC 9112 §3
  'two spaces before the target': 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
  'two spaces after the target': 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n',
  'a tab before the target': 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'a space in the target': 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n',
  'no target': 'GET HTTP/1.1\r\nHost: a\r\n\r\n',
  'no version': 'GET /\r\nHost: a\r\n\r\n',
  'a space after the version': 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n',
  'version 0.9': get('Host: a\r\n', '/', 'HTTP/0.9'),
  'version 1.2': get('Host: a\r\n', '/', 'HTTP/1.2'),
  'version 1.10': get('Host: a\r\n', '/', 'HTTP/1.10'),
  'version 2.0': get('Host: a\r\n', '/', 'HTTP/2.0'),
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'another protocol': get('Host: a\r\n', '/', 'HTTPS/1.1'),
  'a lower-case version': get('Host: a\r\n', '/', 'http/1.1'),
  // RFC 9112 §3.2
  'no Host': get('X: y\r\n'),
  'two Hosts': get('Host: a\r\nHost: a\r\n'),
  'an empty Host': get('Host:\r\n'),
  'a Host with a path': get('Host: a/b\r\n'),
  'a Host with user information': get('Host: a@b\r\n'),
  'a Host with a space': get('Host: a b\r\n'),
  'a Host with a bad port': get('Host: a:b\r\n'),
  'a list of Hosts': get('Host: a, b\r\n').replace(', ', ',\t'),
  'an absolute target for another host': get('Host: a\r\n', 'http://b/'),
  'an absolute target with user information': get('Host: a\r\n', 'http://a@b/'),
  'an absolute target without a host': get('Host: a\r\n', 'http:///x'),
  'another scheme': get('Host: a\r\n', 'ftp://a/'),
  'a target without a slash': get('Host: a\r\n', 'a'),
  'an asterisk': get('Host: a\r\n', '*'),
  'a fragment': get('Host: a\r\n', '/a#b'),
  // Paths that an upstream may read as another collection's
  'dot segments': get('Host: a\r\n', '/x/../admin/1'),
  'escaped dot segments': get('Host: a\r\n', '/x/%2e%2e/admin/1'),
  'an empty segment': get('Host: a\r\n', '//admin/1'),
  'an escaped slash': get('Host: a\r\n', '/x/..%2fadmin'),
  'a backslash': get('Host: a\r\n', '/x\\..\\admin'),
  'parameters of a segment': get('Host: a\r\n', '/admin;x/1'),
  'a dot segment with parameters': get('Host: a\r\n', '/x/..;/admin/1'),
  'a prefix cut off a path that is not normal': get('Host: a\r\n', '/cut//evil.test'),
}

test.each(Object.entries(malformed))('%s: 400', async (_what, bytes) => {
  await refused(bytes, 400, 'bad_request')
})

test.each([
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405, 'method_not_allowed'],
  ['TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method_not_allowed'],
  ['an unknown method', 'BREW / HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method_not_allowed'],
  ['another expectation', post('Expect: tea\r\nContent-Length: 2\r\n'), 417, 'expectation_failed'],
  ['a large head', get(`Host: a\r\nX: ${'x'.repeat(33_000)}\r\n`), 431, 'headers_too_large'],
  ['an endless target', `GET /${'x'.repeat(40_000)}`, 431, 'headers_too_large'],
  ['many fields', get(`Host: a\r\n${'X: y\r\n'.repeat(200)}`), 431, 'headers_too_large'],
  ['large trailers', chunked(`0\r\nX: ${'x'.repeat(33_000)}\r\n\r\n`), 431, 'headers_too_large'],
  ['many trailers', chunked(`0\r\n${'X: y\r\n'.repeat(201)}\r\n`), 431, 'headers_too_large'],
  ['large extensions', chunked(`1;${'x'.repeat(17_000)}\r\na\r\n0\r\n\r\n`), 413, 'body_too_large'],
] as const)('%s', async (_what, bytes, status, code) => {
  await refused(bytes, status, code)
})

/** Alone and behind a good request: the same answer, and a close. */
async function refused(bytes: string, status: number, code: string): Promise<void> {
  const before = upstream.received.length
  for (const first of ['', get('Host: a\r\n')]) {
    const client = await RawClient.connect(thread.port)
    client.send(first + bytes)
    if (first !== '') expect((await client.response()).status).toBe(200)
    const answer = await client.response()
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body.toString())).toMatchObject({ error: code })
    expect(answer.header('connection')).toBe('close')
    await client.closed
  }
  // Of the refused one nothing that an upstream could take for a whole request.
  expect(upstream.received.length - before).toBe(1)
  expect(thread.warnings).toEqual([])
}

test('a body that breaks after its answer ends its connection alone', async () => {
  const early = await startRawUpstream((socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nearly'))
  })
  const upstreams = [{ url: early.url }]
  const { port, warnings } = await startThread(early, {
    collections: [{ name: 'api', prefix: '/api', upstreams }],
  })
  const chunks = 'Host: a\r\nTransfer-Encoding: chunked\r\n\r\n'
  const head = (path: string) => `POST ${path} HTTP/1.1\r\n${chunks}`
  for (const [path, broken, seen] of [
    ['/nope', '', 'no_route'],
    ['/nope', 'Z\r\nabc', 'no_route'],
    ['/api', '', 'early'],
  ] as const) {
    const client = await RawClient.connect(port)
    client.send(head(path) + broken)
    await client.arrives(seen)
    client.send('Z\r\nabc')
    await client.closed
    // The thread goes on with others.
    const other = await RawClient.connect(port)
    expect(await other.request(get('Host: a\r\n', '/other'))).toMatchObject({ status: 404 })
  }
  expect(warnings).toEqual([])
})

test('a line that comes byte by byte is refused as soon as it cannot be good', async () => {
  const client = await RawClient.connect(thread.port)
  client.send('GET / HTTP/1.1\r\nHost: a\r\nX: a\r')
  client.send('b')
  expect((await client.response()).status).toBe(400)
  const long = await RawClient.connect(thread.port)
  long.send('M'.repeat(limits.method_chars_max + 1))
  expect((await long.response()).status).toBe(400)
})
