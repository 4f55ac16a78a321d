/** What of a body stands in the items, while client and upstream get every byte as it was sent. */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { beforeAll, expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'

const text = `{"greeting":"${'grüße '.repeat(50)}"}`
const long = `{"list":"${'0123456789'.repeat(500)}"}`
const binary = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0xff, 0x00, 0xfe, 0x80])
const cap = 1000

const answers: Readonly<Record<string, { type: string; coding?: string; body: Buffer }>> = {
  '/gzip': { type: 'application/json', coding: 'gzip', body: gzipSync(text) },
  '/br': { type: 'application/json', coding: 'br', body: brotliCompressSync(text) },
  '/zstd': { type: 'application/json', coding: 'zstd', body: zstdCompressSync(text) },
  '/deflate': { type: 'application/json', coding: 'deflate', body: deflateSync(text) },
  '/long': { type: 'text/plain', body: Buffer.from(long) },
  '/long-gzip': { type: 'text/plain', coding: 'gzip', body: gzipSync(long) },
  '/binary': { type: 'image/png', body: binary },
  '/exact': { type: 'text/plain', body: Buffer.from('x'.repeat(cap)) },
  '/empty': { type: 'text/plain', body: Buffer.alloc(0) },
}

let upstream: HttpUpstream
let collector: TestCollector
let gateway: TestGateway
let client: Client

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    const { type, coding, body } = answers[request.url ?? ''] ?? { type: 'text/plain', body: binary }
    request.resume()
    request.on('end', () => {
      response.writeHead(200, {
        'Content-Type': type,
        ...(coding === undefined ? {} : { 'Content-Encoding': coding }),
      })
      response.end(body)
    })
  })
  collector = await startCollector()
  const base = { upstream: upstream.url, collector: collector.url }
  const config = mirrorConfig({ ...base, mirror: { capture: { body_bytes: cap } } })
  gateway = await startTestGateway({ config })
  client = new Client(gateway.port)
})

/** Sends what the path answers with, too, and expects both ends to see every byte. */
async function exchange(path: string) {
  const { type, coding, body } = answers[path] as (typeof answers)[string]
  const headers = ['Content-Type', type, ...(coding === undefined ? [] : ['Content-Encoding', coding])]
  const answer = await client.send({ method: 'POST', path, headers, body })
  expect(answer.body.equals(body)).toBe(true)
  expect(answer.headers['content-encoding']).toBe(coding)
  const received = upstream.received.at(-1)
  expect(received?.body?.equals(body)).toBe(true)
  expect(received?.headers['content-encoding']).toBe(coding)
  const { request, response } = await collector.pairOf(path)
  return { both: [request.request, response.response], wire: body.length }
}

test.each(['/gzip', '/br', '/zstd', '/deflate'])('%s is undone in the items only', async (path) => {
  const { both, wire } = await exchange(path)
  for (const part of both) {
    expect(part).toMatchObject({
      ...{ body: text, body_encoding: 'utf8', body_bytes: wire, truncated: false },
      decoded_from: path.slice(1),
    })
  }
})

test('over body_bytes: the first bytes, and the true size', async () => {
  const { both, wire } = await exchange('/long')
  expect(wire).toBe(Buffer.byteLength(long))
  for (const part of both)
    expect(part).toMatchObject({ body: long.slice(0, cap), body_bytes: wire, truncated: true })
})

test('over body_bytes after decoding: the first bytes of the text, and the size on the wire', async () => {
  const { both, wire } = await exchange('/long-gzip')
  expect(wire).toBeLessThan(cap)
  for (const part of both) {
    const cut = { body: long.slice(0, cap), body_bytes: wire, truncated: true, decoded_from: 'gzip' }
    expect(part).toMatchObject(cut)
  }
})

test('exactly body_bytes is not cut', async () => {
  const { both } = await exchange('/exact')
  for (const part of both)
    expect(part).toMatchObject({ body: 'x'.repeat(cap), body_bytes: cap, truncated: false })
})

test('what is not UTF-8 is base64', async () => {
  const { both } = await exchange('/binary')
  for (const part of both) {
    const encoded = { body: binary.toString('base64'), body_encoding: 'base64', body_bytes: binary.length }
    expect(part).toMatchObject({ ...encoded, truncated: false })
  }
})

test('no body is none', async () => {
  const { both } = await exchange('/empty')
  for (const part of both)
    expect(part).toMatchObject({ body_encoding: 'none', body_bytes: 0, truncated: false })
})

test('a reload that switches body capture and decoding off holds from the next request on', async () => {
  const base = { upstream: upstream.url, collector: collector.url }
  const reload = async (capture: object) => {
    await gateway.rewrite({ config: mirrorConfig({ ...base, mirror: { capture } }) })
    await gateway.admin.json('POST', '/api/config/reload')
  }
  await reload({ request_body: false, response_body: false })
  await client.send({ method: 'POST', path: '/off', body: 'secret' })
  const off = await collector.pairOf('/off')
  const nothing = { body: null, body_encoding: 'none' }
  expect(off.request.request).toMatchObject({ ...nothing, body_bytes: 6 })
  expect(off.response.response).toMatchObject({ ...nothing, body_bytes: binary.length })

  await reload({ decode: false })
  const packed = gzipSync(text)
  await client.send({ method: 'POST', path: '/packed', headers: ['Content-Encoding', 'gzip'], body: packed })
  const { request } = await collector.pairOf('/packed')
  // Packed, it cannot be searched for credentials: so it stays at home.
  expect(request.request).toMatchObject({ ...nothing, omitted: 'not_redactable', body_bytes: packed.length })
  expect(request.request).not.toHaveProperty('decoded_from')
})
