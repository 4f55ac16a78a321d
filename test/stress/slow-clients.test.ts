/** Clients that send or read slowly: they get the time they are given, and cost the others nothing. */
import { expect, test } from 'vitest'
import { onEnd } from '../support/cleanup.ts'
import { Client, RawClient } from '../support/client.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { residentBytes } from '../support/process.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const SLOW = 100
const EVERY_MS = 150
const MIB = 1024 * 1024
/** Twice what the kernel keeps of one connection. */
const LARGE_BYTES = 20 * MIB
const READERS = 20
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

async function gatewayWith(timeouts: Record<string, number>): Promise<TestGateway> {
  const upstream = await startUpstream((request, response) => {
    if (request.url === '/large') return void response.end(Buffer.alloc(LARGE_BYTES, 0x61))
    const sum = { bytes: 0 }
    request.on('data', (chunk: Buffer) => {
      sum.bytes += chunk.length
    })
    request.on('end', () => response.end(String(sum.bytes)))
  })
  return startTestGateway({
    config: { listen: { timeouts }, collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }] },
  })
}

/** A byte at a time, until all is sent or the connection is over. */
function trickle(client: RawClient, text: string): void {
  let at = 0
  const timer = setInterval(() => {
    if (client.ended || at === text.length) clearInterval(timer)
    else client.send(text[at++] as string)
  }, EVERY_MS)
  onEnd(() => clearInterval(timer))
}

const clientsOf = (port: number, count: number) =>
  Promise.all(Array.from({ length: count }, () => RawClient.connect(port)))

async function expectOthersServed(port: number): Promise<void> {
  const others = new Client(port, 4)
  for (let count = 0; count < 50; count++) expect(await others.send()).toMatchObject({ status: 200 })
}

test('heads that come byte by byte end after header_ms, wherever in a connection', async () => {
  const { port, admin } = await gatewayWith({ header_ms: 1000 })
  const clients = await clientsOf(port, SLOW)
  for (const [index, client] of clients.entries()) {
    if (index % 2 === 0) expect(await client.request(get('/'))).toMatchObject({ status: 200 })
    trickle(client, `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(1000)}`)
  }
  await expectOthersServed(port)
  const answers = await Promise.all(clients.map((client) => client.response()))
  expect(answers.map(({ status }) => status)).toEqual(clients.map(() => 408))
  await Promise.all(clients.map(({ closed }) => closed))
  expect((await admin.metrics()).sum('http_rejected_total', { reason: 'request_timeout' })).toBe(SLOW)
})

test('empty lines that come one by one are no head either', async () => {
  const { port } = await gatewayWith({ header_ms: 1000 })
  const clients = await clientsOf(port, 10)
  for (const client of clients) trickle(client, '\r\n'.repeat(1000))
  await Promise.all(clients.map(({ closed }) => closed))
})

test('bodies may come byte by byte as long as they come, and stop for body_idle_ms', async () => {
  const { port } = await gatewayWith({ body_idle_ms: 1000 })
  const text = 'a'.repeat(10)
  const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${text.length}\r\n\r\n`
  const [slow, stopped] = [await clientsOf(port, SLOW), await clientsOf(port, 10)]
  for (const client of [...slow, ...stopped]) client.send(head)
  for (const client of slow) trickle(client, text)
  for (const client of stopped) trickle(client, text.slice(1))
  await expectOthersServed(port)
  const answers = await Promise.all(slow.map((client) => client.response()))
  expect(answers.map(({ status, body }) => `${status} ${body}`)).toEqual(slow.map(() => '200 10'))
  for (const client of stopped) expect(await client.response()).toMatchObject({ status: 408 })
})

test.skipIf(process.platform !== 'linux')(
  'answers that nobody reads stay with the upstream, and are whole when they are read (reads /proc)',
  async () => {
    const { port, pid } = await gatewayWith({})
    await expectOthersServed(port)
    const before = await residentBytes(pid)
    const clients = await clientsOf(port, READERS)
    for (const client of clients) {
      client.socket.pause()
      client.send(get('/large'))
    }
    let last = 0
    const isStill = async () => {
      const now = await residentBytes(pid)
      const still = Math.abs(now - last) < MIB
      last = now
      return still
    }
    await until(isStill, { what: 'as much as goes in is there', every_ms: 300 })
    expect(last - before).toBeLessThan(80 * MIB)
    await expectOthersServed(port)
    for (const client of clients) {
      client.socket.resume()
      const { body, complete } = await client.response()
      expect([body.length, complete]).toEqual([LARGE_BYTES, true])
      client.destroy()
    }
  },
)
