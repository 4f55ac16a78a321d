/** Records of a slab: what is written is read, and what is broken is said, never read. */
import { expect, test } from 'vitest'
import type { CapturedExchange } from '../../src/contract/exchange.ts'
import type { SealedExchange } from '../../src/queue/slab.ts'
import { exchangesIn, slabWith } from '../support/slab.ts'

const exchange: SealedExchange = {
  id: '0192f0c1-0000-7000-8000-000000000000',
  startedAt: 1_795_250_000_123.25,
  answeredAt: 1_795_250_000_131,
  durationMs: 8.125,
  upstreamMs: 7.5,
  outcome: 'client_aborted',
  errorCode: 'upstream_timeout',
  collection: 'orders',
  upstream: 'http://127.0.0.1:3000',
  clientIp: '192.0.2.1',
  clientPort: 51_234,
  scheme: 'https',
  method: 'POST',
  host: 'api.example.com',
  target: '/orders?page=2',
  requestVersion: '1.1',
  requestLines: 'Host: api.example.com\r\nX-Empty:\r\nX-Latin:\t caf\xe9 \r\n',
  requestTrailers: 'x-sum: 1\r\n',
  requestBody: { pieces: [Buffer.from('he'), Buffer.from('llo')], kept: 5, size: 9, limited: true },
  status: 201,
  responseVersion: '1.1',
  responseLines: 'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n',
  responseTrailers: '',
  responseBody: { pieces: [Buffer.from('{}')], kept: 2, size: 2, limited: false },
  mirrors: [3, 7],
}

const read = (slab: ArrayBufferLike, used: number): CapturedExchange[] => [...exchangesIn({ slab, used })]

test('what was written is read, field for field', () => {
  const { slab, used } = slabWith([exchange])
  const { requestBody, responseBody, requestLines, responseLines, ...rest } = exchange
  expect(read(slab, used)).toEqual([
    {
      ...rest,
      requestHeaders: ['Host', 'api.example.com', 'X-Empty', '', 'X-Latin', 'caf\xe9'],
      requestTrailers: ['x-sum', '1'],
      responseHeaders: ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2'],
      responseTrailers: [],
      requestBody: { bytes: Buffer.from('hello'), size: 9, limited: true },
      responseBody: { bytes: Buffer.from('{}'), size: 2, limited: false },
    },
  ])
})

test('records of every length follow each other', () => {
  const all = Array.from({ length: 40 }, (_, index) => ({
    ...exchange,
    id: `id-${index}`,
    status: index % 3 === 0 ? null : 200 + index,
    mirrors: Array.from({ length: index % 5 }, (_unused, slot) => slot),
    responseBody: { pieces: [Buffer.alloc(index, 65)], kept: index, size: index * 10, limited: false },
  }))
  const { slab, used } = slabWith(all)
  const back = read(slab, used)
  expect(back.map(({ id }) => id)).toEqual(all.map(({ id }) => id))
  expect(back.map(({ status }) => status)).toEqual(all.map(({ status }) => status))
  expect(back.map(({ mirrors }) => mirrors)).toEqual(all.map(({ mirrors }) => mirrors))
  expect(back.map(({ responseBody }) => responseBody.bytes.length)).toEqual(all.map((_, index) => index))
})

test('an exchange without any string or byte is a record too', () => {
  const none = { pieces: [], kept: 0, size: 0, limited: false }
  const empty = {
    ...exchange,
    id: '',
    requestLines: '',
    responseLines: '',
    requestTrailers: '',
    target: '',
  }
  const { slab, used } = slabWith([{ ...empty, requestBody: none, responseBody: none, mirrors: [] }])
  expect(read(slab, used)[0]).toMatchObject({ id: '', target: '', requestHeaders: [], mirrors: [] })
})

test('a slab that claims more than it has is refused', () => {
  const { slab, used } = slabWith([exchange], 4096)
  expect(() => read(slab, 8192)).toThrow('used must be a multiple of 8 up to 4096, got 8192')
  expect(() => read(slab, used + 8)).toThrow(
    `slab record at byte ${used}: must have at least 144 bytes, got 8`,
  )
  expect(() => read(slab, used + 144)).toThrow(`slab record at byte ${used}: must begin with`)
})

test('records before a broken one are read', () => {
  const { slab, used } = slabWith([exchange, exchange])
  new Uint32Array(slab)[used / 8] = 0
  const seen: string[] = []
  expect(() => {
    for (const { id } of exchangesIn({ slab, used })) seen.push(id)
  }).toThrow(`slab record at byte ${used / 2}: must begin with`)
  expect(seen).toEqual([exchange.id])
})

test('no single changed word makes the reader leave the record', () => {
  const { slab, used } = slabWith([exchange])
  const words = new Uint32Array(slab)
  for (let word = 0; word < used / 4; word++) {
    for (const value of [0, 1, 0x7fff_ffff, 0xffff_ffff, used, used + 1]) {
      const before = words[word] as number
      words[word] = value
      try {
        for (const { requestBody, responseBody } of exchangesIn({ slab, used })) {
          expect(requestBody.bytes.length + responseBody.bytes.length).toBeLessThanOrEqual(used)
        }
      } catch (error) {
        expect((error as Error).message).toMatch(/^slab record at byte 0: /)
      }
      words[word] = before
    }
  }
})
