/** Where an upstream may be: behind TLS, on a Unix socket, at an IPv6 address; and who trusts whom there. */
import { copyFile, readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { onEnd } from '../support/cleanup.ts'
import { RawClient, type RawResponse } from '../support/client.ts'
import { type PlanParts, startThread } from '../support/data-thread.ts'
import { tempDir } from '../support/files.ts'
import { startRawUpstream } from '../support/upstream.ts'

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const file = (name: string) => new URL(`../conformance/tls/${name}`, import.meta.url).pathname

async function listen(server: Server, place: { path: string } | { host: string; port: number }) {
  await new Promise<void>((resolve) => server.listen(place, resolve))
  onEnd(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

const told: RequestListener = (request, response) => {
  request.resume().on('end', () => response.end(`${request.method} for ${request.headers.host}`))
}

type Collection = Omit<PlanParts['collections'][number], 'name' | 'upstreams'>
const partsOf = (url: string, parts: Collection = {}) => ({
  collection: { name: 'api', upstreams: [{ url }], ...parts },
})

async function ask(port: number, bytes = get): Promise<RawResponse> {
  const client = await RawClient.connect(port)
  const answer = await client.request(bytes)
  client.destroy()
  return answer
}

test('on a Unix socket', async () => {
  const path = join(await tempDir(), 'api.sock')
  await listen(createServer(told), { path })
  const url = `unix:${path}`
  const thread = await startThread({ url }, { ...partsOf(url), mirrors: [{ name: 'm' }] })
  expect((await ask(thread.port)).body.toString()).toBe('GET for a')
  const own = await startThread({ url }, partsOf(url, { host_header: 'upstream' }))
  expect((await ask(own.port)).body.toString()).toBe('GET for localhost')
  const gone = await startThread({ url }, partsOf(`${url}.gone`))
  expect((await ask(gone.port)).status).toBe(502)
})

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
)
test.skipIf(!hasIpv6)('at an IPv6 address (needs ::1)', async () => {
  const port = await listen(createServer(told), { host: '::1', port: 0 })
  const url = `http://[::1]:${port}`
  const thread = await startThread({ url }, partsOf(url, { host_header: 'upstream' }))
  expect((await ask(thread.port)).body.toString()).toBe(`GET for [::1]:${port}`)
})

/** Says who asked; one connection a request when told so. */
async function startTls(options: { requestCert?: boolean; close?: boolean } = {}) {
  const sockets: TLSSocket[] = []
  const resumed: boolean[] = []
  const server = createTlsServer(
    {
      key: await readFile(file('server-key.pem')),
      cert: await readFile(file('server.pem')),
      ca: await readFile(file('ca.pem')),
      requestCert: options.requestCert === true,
      rejectUnauthorized: options.requestCert === true,
    },
    (request: IncomingMessage, response) => {
      const socket = request.socket as TLSSocket
      sockets.push(socket)
      resumed.push(socket.isSessionReused())
      if (options.close === true) response.setHeader('Connection', 'close')
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => response.end(Buffer.concat(chunks)))
    },
  )
  server.on('tlsClientError', () => {})
  const port = await listen(server, { host: '127.0.0.1', port: 0 })
  return { url: `https://127.0.0.1:${port}`, sockets, resumed }
}

const trusting = { ca_file: file('ca.pem'), server_name: 'collector.test' }

test('behind TLS, bodies of any size pass both ways', async () => {
  const { url, sockets } = await startTls()
  const thread = await startThread({ url }, partsOf(url, { tls: trusting }))
  const client = await RawClient.connect(thread.port)
  for (const size of [0, 1, 5000, 1_000_000]) {
    const body = 'x'.repeat(size)
    const answer = await client.request(
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${body}`,
    )
    expect(answer).toMatchObject({ status: 200, complete: true })
    expect(answer.body.equals(Buffer.from(body))).toBe(true)
  }
  expect(new Set(sockets).size).toBe(1)
  const [socket] = sockets as (TLSSocket & { servername?: string })[]
  expect([socket?.servername, socket?.alpnProtocol]).toEqual(['collector.test', 'http/1.1'])
})

test('a session is used again by the next connection', async () => {
  const { url, resumed } = await startTls({ close: true })
  const thread = await startThread({ url }, partsOf(url, { tls: trusting }))
  for (let round = 0; round < 3; round++) expect((await ask(thread.port)).status).toBe(200)
  expect(resumed).toEqual([false, true, true])
})

test.each([
  ['of an authority that is not known', { server_name: 'collector.test' }, /unable to verify|self-signed/],
  ['for another name', { ca_file: file('ca.pem'), server_name: 'other.test' }, /altname|other\.test/i],
])('a certificate %s is not accepted, and the log says so', async (_name, tls, reason) => {
  const { url, sockets } = await startTls()
  const thread = await startThread({ url }, partsOf(url, { tls, retry: { attempts: 0 } }))
  const { body } = await ask(thread.port)
  expect(JSON.parse(body.toString())).toMatchObject({ error: 'upstream_unreachable' })
  expect(sockets).toHaveLength(0)
  const warned = await thread.next('warning')
  expect(warned).toMatchObject({ kind: 'upstream_tls', count: 1, message: expect.stringMatching(reason) })
  expect(warned.message).toContain(url)
  const careless = await startThread({ url }, partsOf(url, { tls: { ...tls, verify: false } }))
  expect((await ask(careless.port)).status).toBe(200)
})

test('a client certificate is presented, and a new plan reads its files again', async () => {
  const { url, sockets } = await startTls({ requestCert: true })
  const folder = await tempDir()
  const own = { cert_file: join(folder, 'cert.pem'), key_file: join(folder, 'key.pem') }
  const copy = async (cert: string, key: string) => {
    await copyFile(file(cert), own.cert_file)
    await copyFile(file(key), own.key_file)
  }
  const parts = partsOf(url, { tls: { ...trusting, ...own }, retry: { attempts: 0 } })
  // Files that cannot be used: no connection comes about without them.
  await copy('client.pem', 'server-key.pem')
  const thread = await startThread({ url }, parts)
  expect((await ask(thread.port)).status).toBe(502)
  await copy('client.pem', 'client-key.pem')
  await thread.apply({ collections: [parts.collection] })
  expect((await ask(thread.port)).status).toBe(200)
  expect(sockets[0]?.getPeerCertificate().subject.CN).toBe('client')
})

test('an upstream that accepts and never shakes hands is given up after connect_ms', async () => {
  const upstream = await startRawUpstream((socket) => void socket.resume())
  const url = upstream.url.replace('http:', 'https:')
  const thread = await startThread(
    { url },
    partsOf(url, { timeouts: { connect_ms: 150 }, retry: { attempts: 0 } }),
  )
  const sentAt = performance.now()
  expect(JSON.parse((await ask(thread.port)).body.toString())).toMatchObject({
    error: 'upstream_unreachable',
  })
  expect(performance.now() - sentAt).toBeGreaterThanOrEqual(150)
})

test('an upstream that is no TLS server is told apart from one that is', async () => {
  const server = createTcpServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\n\r\n'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onEnd(() => server.close())
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const thread = await startThread({ url }, partsOf(url, { retry: { attempts: 0 } }))
  expect((await ask(thread.port)).status).toBe(502)
  expect(await thread.next('warning')).toMatchObject({ kind: 'upstream_tls' })
})
