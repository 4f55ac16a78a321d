/** Which header fields reach the upstream and the client, and which the gateway writes itself. */
import { expect, test } from 'vitest'
import { forwardedElement } from '../../src/proxy/forwarded.ts'
import { dropNominated } from '../../src/proxy/headers.ts'
import { RawClient, valuesOf } from '../support/client.ts'
import { type DataThread, startThread } from '../support/data-thread.ts'
import { answering, type HttpUpstream, startRawUpstream, startUpstream } from '../support/upstream.ts'

async function sent(thread: DataThread, upstream: HttpUpstream, head: string): Promise<string[]> {
  const client = await RawClient.connect(thread.port)
  const { status } = await client.request(`${head}\r\n\r\n`)
  expect(status).toBe(200)
  return [...(upstream.received.at(-1)?.rawHeaders ?? [])]
}

test('hop-by-hop fields and those that Connection names end at the gateway', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  const fields = await sent(
    thread,
    upstream,
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Secret, x-forwarded-for, X-Request-Id\r\n' +
      'X-Secret: 1\r\n' +
      'Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: x\r\nProxy-Connection: keep-alive\r\n' +
      'Proxy-Authorization: Basic x\r\nUpgrade: h2c\r\nX-Kept: yes',
  )
  const names = fields.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase())
  for (const gone of [
    'x-secret',
    'keep-alive',
    'te',
    'trailer',
    'proxy-connection',
    'proxy-authorization',
    'upgrade',
  ]) {
    expect(names).not.toContain(gone)
  }
  expect(valuesOf(fields, 'x-kept')).toEqual(['yes'])
  // What the gateway adds cannot be nominated away (trap C9).
  expect(valuesOf(fields, 'x-forwarded-for')).toEqual(['127.0.0.1'])
  expect(valuesOf(fields, 'x-request-id')).toHaveLength(1)
  expect(valuesOf(fields, 'connection')).toEqual(['keep-alive'])
})

test('a Connection field cannot take framing or Host away', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  await client.request(
    'POST / HTTP/1.1\r\nHost: a.test\r\nConnection: content-length, host\r\nContent-Length: 2\r\n\r\nok',
  )
  expect(upstream.received[0]?.headers).toMatchObject({ host: 'a.test', 'content-length': '2' })
})

test('from anyone, forwarded fields are written anew', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const fields = await sent(
    thread,
    upstream,
    'GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n' +
      'X-Forwarded-Host: evil.test\r\nForwarded: for=6.6.6.6;proto=https',
  )
  expect(valuesOf(fields, 'x-forwarded-for')).toEqual(['127.0.0.1'])
  expect(valuesOf(fields, 'x-forwarded-proto')).toEqual(['http'])
  expect(valuesOf(fields, 'x-forwarded-host')).toEqual(['a.test'])
  expect(valuesOf(fields, 'forwarded')).toEqual([])
  expect(valuesOf(fields, 'via')).toEqual(['1.1 mirrorgate'])
  expect((await thread.exchanges(1))[0]).toMatchObject({ clientIp: '127.0.0.1', scheme: 'http' })
})

test('from a trusted proxy they are believed and extended', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, {
    listen: { trusted_proxies: ['127.0.0.0/8', '10.0.0.0/8'] },
    mirrors: [{ name: 'm' }],
  })
  const fields = await sent(
    thread,
    upstream,
    'GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n' +
      'X-Forwarded-For: ::ffff:10.1.2.3\r\n' +
      'X-Forwarded-Proto: https\r\nX-Forwarded-Host: public.test\r\nForwarded: for=192.0.2.7',
  )
  expect(valuesOf(fields, 'x-forwarded-for')).toEqual(['6.6.6.6, 192.0.2.7, ::ffff:10.1.2.3, 127.0.0.1'])
  expect(valuesOf(fields, 'x-forwarded-proto')).toEqual(['https'])
  expect(valuesOf(fields, 'x-forwarded-host')).toEqual(['public.test'])
  expect(valuesOf(fields, 'forwarded')).toEqual(['for=192.0.2.7, for=127.0.0.1;proto=http;host=a.test'])
  expect((await thread.exchanges(1))[0]).toMatchObject({ clientIp: '192.0.2.7', scheme: 'https' })
})

test('whatever else speaks of the client is believed from a trusted proxy alone', async () => {
  const upstream = await startUpstream()
  const claims = [
    'X-Forwarded-Port: 444',
    'x-forwarded-ssl: on',
    'X-FORWARDED-PREFIX: /evil',
    'X-Forwarded-Server: evil.test',
    'X-Forwarded-Scheme: https',
    'X-Forwarded-A-Name-That-Nobody-Knows: 1',
    'X-Real-IP: 6.6.6.6',
  ]
  const others = ['X-Forwarded: 1', 'X-ForwardedPort: 2', 'X-Real-Ipx: 3', 'Y-Forwarded-Port: 4', 'X-Real: 5']
  const head = `GET / HTTP/1.1\r\nHost: a.test\r\n${[...claims, ...others].join('\r\n')}`
  const kept = (fields: string[]) =>
    [...claims, ...others].filter((line) => {
      const [name = '', value] = line.split(': ')
      return valuesOf(fields, name.toLowerCase()).join() === value
    })
  expect(kept(await sent(await startThread(upstream), upstream, head))).toEqual(others)
  const trusting = await startThread(upstream, { listen: { trusted_proxies: ['127.0.0.1'] } })
  expect(kept(await sent(trusting, upstream, head))).toEqual([...claims, ...others])
})

const own = 'for=127.0.0.1;proto=http;host=a.test'

test.each([
  ['for=192.0.2.7;proto=https;host=p', '192.0.2.7', 'https'],
  ['For="192.0.2.7:4711" ; PROTO=HTTPS', '192.0.2.7', 'https'],
  ['for="[2001:db8::7]"', '2001:db8::7', 'http'],
  ['for="[2001:db8::7]:4711";by=10.0.0.1', '2001:db8::7', 'http'],
  ['for=6.6.6.6;proto=https, for=192.0.2.7;proto=http, for=10.1.1.1', '192.0.2.7', 'http'],
  ['for=192.0.2.7;proto=https;host="a,b;c", , for=10.1.1.1;proto=http', '192.0.2.7', 'https'],
  ['for=10.9.9.9, for=10.1.1.1', '10.9.9.9', 'http'],
  ['for=6.6.6.6, for=_hidden;proto=https, for=10.1.1.1', '10.1.1.1', 'https'],
  ['for=6.6.6.6, for=unknown', '127.0.0.1', 'http'],
  ['proto=https', '127.0.0.1', 'https'],
  // What the client wrote cannot spoil or fake what the proxies have appended.
  ['for="6.6.6.6, for=192.0.2.7;proto=https', '192.0.2.7', 'https'],
  ['for=6.6.6.6;x="\\", for=10.1.1.1', '10.1.1.1', 'http'],
  ['for=6.6.6.6;for=10.1.1.1', '127.0.0.1', 'http'],
  ['for=6.6.6.6 for=10.1.1.1', '127.0.0.1', 'http'],
  ['<script>', '127.0.0.1', 'http'],
])('from a trusted proxy, Forwarded: %s means %s by %s', async (forwarded, clientIp, scheme) => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, {
    listen: { trusted_proxies: ['127.0.0.0/8', '10.0.0.0/8'] },
    mirrors: [{ name: 'm' }],
  })
  const fields = await sent(thread, upstream, `GET / HTTP/1.1\r\nHost: a.test\r\nForwarded: ${forwarded}`)
  expect((await thread.exchanges(1))[0]).toMatchObject({ clientIp, scheme })
  expect(valuesOf(fields, 'forwarded')).toEqual([`${forwarded}, ${own}`])
  const chain = clientIp === '127.0.0.1' ? clientIp : `${clientIp}, 127.0.0.1`
  expect(valuesOf(fields, 'x-forwarded-for')).toEqual([chain])
  expect(valuesOf(fields, 'x-forwarded-proto')).toEqual([scheme])
})

test('several Forwarded fields are one list, and our element quotes what is no token', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, {
    listen: { trusted_proxies: ['127.0.0.0/8'] },
    mirrors: [{ name: 'm' }],
  })
  const head = 'GET / HTTP/1.1\r\nHost: a.test:81\r\nForwarded: for=6.6.6.6\r\nForwarded: for=192.0.2.7'
  expect(valuesOf(await sent(thread, upstream, head), 'forwarded')).toEqual([
    'for=6.6.6.6, for=192.0.2.7, for=127.0.0.1;proto=http;host="a.test:81"',
  ])
  expect((await thread.exchanges(1))[0]?.clientIp).toBe('192.0.2.7')
  expect(forwardedElement('2001:db8::1', '')).toBe('for="[2001:db8::1]";proto=http')
})

test('the plain values of Connection take nothing away, in any case', () => {
  for (const value of ['close', 'Close', 'keep-alive', 'Keep-Alive', 'KEEP-ALIVE', 'close, keep-alive']) {
    const lines = 'Close: 1\r\nX-Other: 2\r\n'
    expect(dropNominated(lines, value)).toBe(lines)
  }
  expect(dropNominated('X-A: 1\r\nX-Other: 2\r\nx-a: 3\r\n', 'Close,x-a')).toBe('X-Other: 2\r\n')
})

test('a sane request id is kept, any other is replaced', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  const id = async (fields: string) =>
    valuesOf(await sent(thread, upstream, `GET / HTTP/1.1\r\nHost: a${fields}`), 'x-request-id')
  expect(await id('\r\nX-Request-ID: abc.DEF-1:2/3=')).toEqual(['abc.DEF-1:2/3='])
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/
  for (const bad of [
    '',
    '\r\nX-Request-ID: a b',
    `\r\nX-Request-ID: ${'x'.repeat(129)}`,
    '\r\nX-Request-ID: {"a":1}',
  ]) {
    expect(await id(bad)).toEqual([expect.stringMatching(uuid)])
  }
  expect(await id('\r\nX-Request-ID: one\r\nX-Request-ID: two')).toEqual([expect.stringMatching(uuid)])
})

test('Host goes on as the client sent it, or as the upstream is called', async () => {
  const upstream = await startUpstream()
  const client = await startThread(upstream)
  expect(valuesOf(await sent(client, upstream, 'GET / HTTP/1.1\r\nHost: Client.test:81'), 'host')).toEqual([
    'Client.test:81',
  ])
  expect(
    valuesOf(await sent(client, upstream, 'GET http://Abs.test/x HTTP/1.1\r\nHost: abs.test'), 'host'),
  ).toEqual(['Abs.test'])
  expect(upstream.received.at(-1)?.url).toBe('/x')
  const own = await startThread(upstream, {
    collection: { name: 'api', upstreams: [{ url: upstream.url }], host_header: 'upstream' },
  })
  expect(valuesOf(await sent(own, upstream, 'GET / HTTP/1.1\r\nHost: client.test'), 'host')).toEqual([
    `127.0.0.1:${upstream.port}`,
  ])
})

test('hop-by-hop fields of an answer end at the gateway', async () => {
  const upstream = await startRawUpstream(
    answering(
      'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n' +
        'Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok',
    ),
  )
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const answer = await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(answer.rawHeaders).toEqual([
    'X-Kept',
    'yes',
    'Content-Length',
    '2',
    'connection',
    'keep-alive',
    'keep-alive',
    'timeout=75',
  ])
})

test('the head reaches the upstream as it was sent: order, case, duplicates, Host in its place', async () => {
  let head = ''
  const upstream = await startRawUpstream((socket) => {
    socket.on('data', (chunk) => {
      head = chunk.toString('latin1')
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const own = (host: string) =>
    'x-request-id: i\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n' +
    `x-forwarded-host: ${host}\r\nvia: 1.1 mirrorgate\r\n`
  const before = 'X-B: 2\r\nhOST: a.test\r\nX-Request-Id: i\r\nx-a: \xe4\r\nX-B: 1\r\n'
  await client.request(`GET /p?q HTTP/1.1\r\n${before}\r\n`)
  const kept = before.replace('X-Request-Id: i\r\n', '')
  expect(head).toBe(`GET /p?q HTTP/1.1\r\n${kept}${own('a.test')}connection: keep-alive\r\n\r\n`)
  // RFC 9112 §3.2.2: the authority of an absolute target takes the place of Host.
  await client.request(`GET http://A.test/p HTTP/1.1\r\n${before}Connection: X-B\r\n\r\n`)
  const absolute = 'hOST: A.test\r\nx-a: \xe4\r\n'
  expect(head).toBe(`GET /p HTTP/1.1\r\n${absolute}${own('A.test')}connection: keep-alive\r\n\r\n`)
  const old = await RawClient.connect(thread.port)
  await old.request('GET / HTTP/1.0\r\nX-B: 2\r\n\r\n')
  expect(head.startsWith(`GET / HTTP/1.1\r\nhost: 127.0.0.1:${upstream.port}\r\nX-B: 2\r\n`)).toBe(true)
})

test('an answer whose head holds forbidden bytes becomes a 502', async () => {
  for (const status of ['200 OK', '204 No Content']) {
    const upstream = await startRawUpstream(
      answering(`HTTP/1.1 ${status}\r\nX-Bad: a\x01b\r\nContent-Length: 0\r\n\r\n`),
    )
    const thread = await startThread(upstream)
    const client = await RawClient.connect(thread.port)
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await client.response().catch(() => null)
    if (answer !== null) expect(answer.status).toBe(502)
    expect(await (await RawClient.connect(thread.port)).request('F(O')).toMatchObject({ status: 400 })
    expect(thread.warnings).toEqual([])
  }
})
