/** The syslog sink: conformance, messages as a real server reads them, and servers that go away. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { createServer as createTlsServer } from 'node:tls'
import { beforeAll, describe, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import type { Batch, Sink } from '../../src/contract/plugin.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { makeCertificate } from '../../test/support/certificates.ts'
import { tempDir } from '../../test/support/files.ts'
import { missing, type Rsyslog, startRsyslog } from '../../test/support/rsyslog.ts'
import { until } from '../../test/support/wait.ts'
import syslog from './sink.ts'
import { openUdp } from './transport.ts'

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
)

const defaults = {
  host: '127.0.0.1',
  protocol: 'tcp',
  verify: true,
  facility: 'local0',
  app_name: 'mirrorgate',
  bom: false,
} as const
type Options = Parameters<typeof syslog.create>[0]['options']

async function open(options: Partial<Options>): Promise<Sink> {
  const sink = await syslog.create(
    sinkContext({ ...defaults, ...options }, createSinkHttp(target()).http, { format: 'ndjson' }),
  )
  onEnd(() => sink.close())
  return sink
}

const patience = () => AbortSignal.timeout(5000)

const batchOf = (...lines: string[]): Batch => ({
  id: 'b',
  mirror: 'm"]',
  leg: 'messages',
  items: lines.length,
  ndjson: Buffer.from(lines.map((line) => `${line}\n`).join('')),
})

/** Undoes octet counting (RFC 6587 §3.4.1), as far as whole messages are there. */
function messagesOf(bytes: Buffer): string[] {
  const messages: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at)
    const length = Number(bytes.toString('latin1', at, space))
    if (space === -1 || space + 1 + length > bytes.length) break
    messages.push(bytes.toString('utf8', space + 1, space + 1 + length))
    at = space + 1 + length
  }
  return messages
}

/** A server that keeps what it reads, by connection. */
async function startServer() {
  const connections: { socket: Socket; bytes: Buffer }[] = []
  const server = createServer((socket) => {
    const one = { socket, bytes: Buffer.alloc(0) }
    connections.push(one)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      one.bytes = Buffer.concat([one.bytes, chunk])
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => {
    for (const { socket } of connections) socket.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  onEnd(close)
  return { port, connections, close, messages: () => connections.flatMap(({ bytes }) => messagesOf(bytes)) }
}

describe('a server', () => {
  let server: Awaited<ReturnType<typeof startServer>>
  let written = 0
  beforeAll(async () => {
    server = await startServer()
  })

  sinkConformance({
    definition: syslog,
    options: () => ({ ...defaults, port: server?.port ?? 1, max_message_bytes: 65_536 }),
    http: { because: 'it speaks syslog' },
    stored: async () => {
      const all = () => server.messages().slice(written)
      let before = -1
      // What was handed over arrives, sooner or later: it is all there when nothing more comes.
      await until(() => before === (before = all().length), {
        what: 'the server has read all',
        every_ms: 100,
      })
      const messages = all()
      written += messages.length
      return messages.map((message) => JSON.parse(message.slice(message.indexOf('{'))))
    },
  })
})

describe.skipIf(missing !== null)(`a real server (${missing ?? 'rsyslog'})`, () => {
  let server: Rsyslog
  beforeAll(async () => {
    server = await startRsyslog()
  })

  const event = JSON.stringify({
    timestamp: '2026-11-21T08:00:00.123Z',
    event_type: 'user_login with spaces',
    text: 'a\nb "] \\ ü 💥',
    status: 403,
  })
  const received = async (input: string, count: number) => {
    const own = () => server.received().filter((message) => message.in === input)
    await until(() => own().length >= count, { what: `${count} messages by ${input}` })
    return own()
  }

  test.each(['udp', 'tcp', 'tls'] as const)('%s: every field as it was meant', async (protocol) => {
    const tls = protocol === 'tls'
    const sink = await open({
      protocol,
      port: tls ? server.tlsPort : server.port,
      facility: 'audit',
      hostname: 'gw-1',
      structured_data_id: 'audit@32473',
      ...(tls && {
        ca_file: `${server.tls}/ca.pem`,
        cert_file: `${server.tls}/client.pem`,
        key_file: `${server.tls}/client.key`,
      }),
    })
    await sink.write(batchOf(event, '{"a":2}'), patience())
    const [first, second] = await received(protocol, 2)
    expect(first).toMatchObject({
      // audit is 13, a 403 is a warning: 13 * 8 + 4
      pri: '108',
      ver: '1',
      ts: '2026-11-21T08:00:00.123Z',
      host: 'gw-1',
      app: 'mirrorgate',
      procid: String(process.pid),
      msgid: 'user_login_with_spaces',
      sd: '[audit@32473 source="m\\"\\]" id="b-0"]',
    })
    expect(JSON.parse(first?.msg ?? '')).toEqual(JSON.parse(event))
    expect(second).toMatchObject({ pri: '110', msgid: '-', msg: '{"a":2}' })
  })

  test('tls without a certificate that the server wants: nothing counts as sent', async () => {
    const sink = await open({ protocol: 'tls', port: server.tlsPort, ca_file: `${server.tls}/ca.pem` })
    await expect(sink.write(batchOf('{"lost":true}'), patience())).rejects.toMatchObject({ kind: 'retry' })
    expect(server.received().some(({ msg }) => msg.includes('lost'))).toBe(false)
  })

  test('tls with an authority that is not known: not even connected', async () => {
    const sink = await open({ protocol: 'tls', port: server.tlsPort })
    await expect(sink.write(batchOf('{}'), patience())).rejects.toMatchObject({
      kind: 'retry',
      network: true,
    })
  })

  test('a server that comes back is connected to anew', async () => {
    const sink = await open({ port: server.port })
    await sink.write(batchOf('{"before":1}'), patience())
    await received('tcp', 3)
    await server.stop()
    await until(
      async () =>
        (await sink.write(batchOf('{"gone":1}'), patience()).catch((error: Error) => error)) !== undefined,
      { what: 'the sink notices' },
    )
    await server.start()
    await sink.write(batchOf('{"after":1}'), patience())
    const all = await until(
      () => {
        const found = server.received().map(({ msg }) => msg)
        return found.includes('{"after":1}') && found
      },
      { what: 'what was written after it' },
    )
    expect(all).toContain('{"before":1}')
  })
})

test('messages are counted, so that a newline inside is one of the text', async () => {
  const server = await startServer()
  const sink = await open({ port: server.port, bom: true, hostname: 'h' })
  await sink.write(batchOf('{"a":"ü"}', 'CEF:0|a|b'), patience())
  await until(() => server.messages().length === 2, { what: 'both messages' })
  const head = `<134>1 - h mirrorgate ${process.pid} - -`
  expect(server.messages()).toEqual([`${head} \ufeff{"a":"ü"}`, `${head} \ufeffCEF:0|a|b`])
})

test('a server that goes away in the middle of a batch: the batch did not arrive', async () => {
  const server = await startServer()
  const sink = await open({ port: server.port, max_message_bytes: 1024 * 1024 })
  await sink.write(batchOf('{"first":1}'), patience())
  const [connection] = await until(() => server.connections.length === 1 && server.connections, {
    what: 'it',
  })
  const socket = connection?.socket
  socket?.pause()
  const large = JSON.stringify({ large: 'x'.repeat(900_000) })
  const writing = sink.write(batchOf(large, large, large, large, large, large), patience())
  const failed = expect(writing).rejects.toMatchObject({ kind: 'retry' })
  socket?.resetAndDestroy()
  await failed
})

test('batches at the same time share one connection, also after it broke', async () => {
  const server = await startServer()
  const sink = await open({ port: server.port })
  const four = (text: string) =>
    Promise.all([1, 2, 3, 4].map((n) => sink.write(batchOf(`${text} ${n}`), patience())))
  await four('first')
  await until(() => server.messages().length === 4, { what: 'the first four' })
  expect(server.connections).toHaveLength(1)
  const [{ socket } = {}] = server.connections
  socket?.resetAndDestroy()
  await until(() => four('tried').then(() => true), { what: 'the sink notices' })
  await four('then')
  const then = () => server.messages().filter((message) => message.includes('then'))
  await until(() => then().length === 4, { what: 'the last four' })
  expect(server.connections).toHaveLength(2)
  await sink.close()
  await until(() => server.connections.every((one) => one.socket.readableEnded || one.socket.destroyed), {
    what: 'no connection stays behind',
  })
})

test('who gives up while it connects takes the connection away from nobody else', async () => {
  const { cert, key } = makeCertificate(await tempDir())
  const read: Buffer[] = []
  const tls = createTlsServer({ cert, key }, (socket) =>
    socket.on('data', (bytes: Buffer) => read.push(bytes)),
  )
  const waiting: Socket[] = []
  // Hands are shaken when the test says so.
  const server = createServer({ pauseOnConnect: true }, (socket) => waiting.push(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onEnd(() => {
    for (const socket of waiting) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const sink = await open({ protocol: 'tls', port, verify: false })
  const impatient = new AbortController()
  const given = sink.write(batchOf('{"given":"up"}'), impatient.signal)
  const kept = sink.write(batchOf('{"kept":1}'), patience())
  await until(() => waiting.length > 0, { what: 'an attempt' })
  const over = expect(given).rejects.toThrow('enough')
  impatient.abort(new Error('enough'))
  await over
  for (const socket of waiting) tls.emit('connection', socket)
  await kept
  await until(() => messagesOf(Buffer.concat(read)).length > 0, { what: 'the message' })
  expect(messagesOf(Buffer.concat(read))).toEqual([expect.stringContaining('{"kept":1}')])
  expect(waiting).toHaveLength(1)
})

test('an attempt that nobody waits for any more ends', async () => {
  const accepted: Socket[] = []
  const server = createServer((socket) => void accepted.push(socket.on('error', () => undefined).resume()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onEnd(() => void server.close())
  const { port } = server.address() as AddressInfo
  const sink = await open({ protocol: 'tls', port, verify: false })
  const impatient = new AbortController()
  const both = [1, 2].map(() => expect(sink.write(batchOf('{}'), impatient.signal)).rejects.toThrow('enough'))
  await until(() => accepted.length > 0, { what: 'an attempt' })
  impatient.abort(new Error('enough'))
  await Promise.all(both)
  await until(() => accepted.every((socket) => socket.destroyed), { what: 'its end' })
})

describe.skipIf(!hasIpv6)('datagrams (without an address ::1 on this machine nothing is sent)', () => {
  test.each([
    ['udp6', '::1', 6],
    ['udp4', '127.0.0.1', 4],
  ] as const)('to a name that has %s alone, looked up once', async (type, address, family) => {
    const server = createSocket(type)
    onEnd(() => void server.close())
    const read: string[] = []
    server.on('message', (message) => read.push(message.toString()))
    server.bind(0, address)
    await once(server, 'listening')
    const asked: string[] = []
    const find = async (host: string) => {
      asked.push(host)
      return { address, family }
    }
    const transport = openUdp({ host: 'siem.example', port: server.address().port }, find)
    onEnd(() => transport.close())
    await transport.send(
      ['a', 'b', 'c'].map((text) => Buffer.from(text)),
      patience(),
    )
    await until(() => read.length === 3, { what: 'all three' })
    expect(read).toEqual(['a', 'b', 'c'])
    expect(asked).toEqual(['siem.example'])
    await transport.send([Buffer.from('d')], patience())
    expect(asked, 'an address may change').toHaveLength(2)
  })
})

test('a name that nobody knows waits for the network', async () => {
  const unknown = Object.assign(new Error('quotes what it was asked'), { code: 'ENOTFOUND' })
  const transport = openUdp({ host: 'siem.example', port: 514 }, () => Promise.reject(unknown))
  onEnd(() => transport.close())
  await expect(transport.send([Buffer.from('a')], patience())).rejects.toMatchObject({
    kind: 'retry',
    network: true,
    message: 'looking up siem.example: ENOTFOUND',
  })
})

test('a message that is too long is told before anything is sent', async () => {
  const server = await startServer()
  const sink = await open({ port: server.port })
  const long = JSON.stringify({ text: 'x'.repeat(8192) })
  await expect(sink.write(batchOf('{}', long), patience())).rejects.toMatchObject({
    kind: 'too_large',
    message: expect.stringMatching(/^a message must be at most 8192 bytes, got \d+$/),
  })
  expect(server.connections).toEqual([])
})

test('nobody listens; udp does not even know', async () => {
  const server = await startServer()
  await server.close()
  const tcp = await open({ port: server.port })
  await expect(tcp.write(batchOf('{}'), patience())).rejects.toMatchObject({ kind: 'retry', network: true })
  const udp = createSocket('udp4')
  udp.bind(0, '127.0.0.1')
  await once(udp, 'listening')
  const { port } = udp.address()
  udp.close()
  await (await open({ port, protocol: 'udp' })).write(batchOf('{}'), patience())
})
