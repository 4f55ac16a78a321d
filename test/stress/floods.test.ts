/** Floods that never end by themselves: each is cut off early, takes little memory, and others are served. */
import { beforeAll, expect, test } from 'vitest'
import { Client, RawClient } from '../support/client.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { openDescriptors, residentBytes } from '../support/process.ts'
import { readHead, startRawUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const FLOODERS = 30
const MIB = 1024 * 1024
/** What one of them sends at most, unless it is cut off. */
const FLOOD_BYTES = 8 * MIB
const PIECE_BYTES = 64 * 1024
/** Buffers of sockets, and garbage that is not collected yet. */
const SLACK_BYTES = 80 * MIB

const onLinux = test.skipIf(process.platform !== 'linux')
const bed = {} as { gateway: TestGateway; larges: number }

beforeAll(async () => {
  bed.larges = 0
  const answer = Buffer.alloc(100_000, 0x61)
  const upstream = await startUpstream((request, response) => {
    const isLarge = request.url === '/large'
    if (isLarge) bed.larges++
    request.resume()
    request.on('end', () => response.end(isLarge ? answer : request.url))
  })
  bed.gateway = await startTestGateway({
    shared: true,
    config: {
      listen: { timeouts: { header_ms: 2000 } },
      collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }],
    },
  })
  const first = new Client(bed.gateway.port, 4)
  for (let count = 0; count < 500; count++) await first.send()
})

/** The same text again and again, as fast as it is taken. */
async function flood(port: number, begin: string, text: string): Promise<RawClient> {
  const client = await RawClient.connect(port)
  client.send(begin)
  const piece = Buffer.from(text.repeat(Math.ceil(PIECE_BYTES / text.length)), 'latin1')
  let sent = 0
  const more = (): void => {
    while (!client.ended && !client.socket.destroyed && sent < FLOOD_BYTES) {
      sent += piece.length
      if (!client.socket.write(piece)) return void client.socket.once('drain', more)
    }
  }
  more()
  return client
}

const floodOf = (begin: string, text: string): Promise<RawClient[]> =>
  Promise.all(Array.from({ length: FLOODERS }, () => flood(bed.gateway.port, begin, text)))

/** Serves others meanwhile, and says by how much its memory grew at most. */
async function grown(work: () => Promise<void>): Promise<number> {
  const { port, pid } = bed.gateway
  const others = new Client(port, 2)
  const before = await residentBytes(pid)
  let [most, over] = [before, false]
  const watch = async () => {
    while (!over) {
      expect(await others.send({ path: '/other' })).toMatchObject({ status: 200, text: '/other' })
      most = Math.max(most, await residentBytes(pid))
    }
  }
  const end = () => {
    over = true
  }
  await Promise.all([watch(), work().finally(end)])
  return most - before
}

const chunked = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'

onLinux.each([
  ['fields', 'GET / HTTP/1.1\r\nHost: a\r\n', 'X: y\r\n', [431]],
  ['one field', 'GET / HTTP/1.1\r\nHost: a\r\nX: ', 'y', [431]],
  ['a name without an end', 'GET / HTTP/1.1\r\nHost: a\r\n', 'x', [400, 431]],
  ['one URL', 'GET /', 'a', [431]],
  ['one method', '', 'A', [400, 405, 431]],
  ['one chunk extension', `${chunked}1;a=`, 'b', [400, 413]],
  ['chunk extensions', chunked, `1;${'a'.repeat(200)}\r\nx\r\n`, [400, 413]],
  ['digits of one chunk size', chunked, '0', [400, 413]],
  ['trailers', `${chunked}0\r\n`, 'X: y\r\n', [400, 413, 431]],
] as const)('a flood of %s (reads /proc, Linux only)', async (_name, begin, text, statuses) => {
  const bytes = await grown(async () => {
    const clients = await floodOf(begin, text)
    await Promise.all(clients.map(({ closed }) => closed))
    for (const client of clients) {
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(client.received.toString('latin1'))?.[1])
      expect(statuses).toContain(status)
    }
  })
  expect(bytes).toBeLessThan(SLACK_BYTES)
})

onLinux('empty lines end like any head that does not come (reads /proc, Linux only)', async () => {
  const bytes = await grown(async () => {
    const clients = await floodOf('', '\r\n')
    await Promise.all(clients.map(({ closed }) => closed))
  })
  expect(bytes).toBeLessThan(SLACK_BYTES)
})

onLinux('requests ahead of answers that nobody reads wait outside (reads /proc, Linux only)', async () => {
  const { gateway } = bed
  const descriptors = await openDescriptors(gateway.pid)
  const clients: RawClient[] = []
  const bytes = await grown(async () => {
    for (let count = 0; count < FLOODERS; count++) {
      const client = await RawClient.connect(gateway.port)
      client.socket.pause()
      clients.push(client)
      client.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(4000))
    }
    let last = -1
    const isStill = () => {
      const still = bed.larges > 0 && bed.larges === last
      last = bed.larges
      return still
    }
    await until(isStill, { what: 'nothing moves', every_ms: 300 })
  })
  expect(bytes).toBeLessThan(SLACK_BYTES)
  // 12 GB were asked for.
  expect(bed.larges).toBeLessThan(500 * FLOODERS)
  for (const client of clients) client.destroy()
  const areBack = async () => (await openDescriptors(gateway.pid)) < descriptors + 40
  await until(areBack, { what: 'they are gone, and at most their upstream connections are left' })
})

test('a URL of 30,000 characters arrives whole, and one above header_bytes is refused', async () => {
  const seen: string[] = []
  const upstream = await startRawUpstream(async (socket) => {
    seen.push(await readHead(socket))
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  const { port } = await startTestGateway({
    config: { collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }] },
  })
  const head = (chars: number) => `GET /${'u'.repeat(chars)} HTTP/1.1\r\nHost: a\r\n\r\n`
  expect(await (await RawClient.connect(port)).request(head(30_000))).toMatchObject({ status: 200 })
  expect(seen[0]).toContain(`GET /${'u'.repeat(30_000)} HTTP/1.1`)
  expect((await (await RawClient.connect(port)).request(head(33_000))).status).toBe(431)
  expect(seen).toHaveLength(1)
})
