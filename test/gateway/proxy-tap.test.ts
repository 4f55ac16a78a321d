/** What is kept of a body, for which mirrors, and at what cost. */
import { expect, test } from 'vitest'
import { globMatches, shareOf } from '../../src/proxy/mirror-rules.ts'
import { SlabPool } from '../../src/proxy/slabs.ts'
import { BodyKeep } from '../../src/proxy/tap.ts'
import { Counters, threadCell } from '../../src/telemetry/counters.ts'

const MIB = 1024 * 1024

function pool(bytes = 64 * MIB): { slabs: SlabPool; used: () => number } {
  const counters = new Counters()
  const slabs = new SlabPool(bytes, counters, () => {})
  return { slabs, used: () => counters.cells[threadCell.captureBytes] as number }
}

test.each([
  [4, 1, 2],
  [16, 1, 8],
  [32, 2, 8],
  [64, 4, 8],
  [256, 4, 32],
])('of %i MiB a thread makes slabs of %i MiB: %i', (buffer, bytes, slabs) => {
  const { slabs: made } = pool(buffer * MIB)
  expect([made.slabBytes, made.slabsMax]).toEqual([bytes * MIB, slabs])
})

test.each([
  ['/orders/*', '/orders/1/2', true],
  ['/orders/*', '/orders', false],
  ['*', '', true],
  ['/a*b*c', '/axxbyybzc', true],
  ['/a*b*c', '/axxbyybz', false],
  ['/a', '/a', true],
  ['/a', '/ab', false],
  ['**a**', 'xax', true],
])('%s against %s is %s', (pattern, text, matches) => {
  expect(globMatches(pattern, text)).toBe(matches)
})

test('a pattern of many stars ends soon on a text that fails late', () => {
  expect(globMatches(`${'*a'.repeat(60)}b`, 'a'.repeat(20_000))).toBe(false)
})

test('shares are even, stable, and nested', () => {
  expect(shareOf('10.0.0.1')).toBe(shareOf('10.0.0.1'))
  const shares = Array.from({ length: 20_000 }, (_, index) => shareOf(`key-${index}`))
  for (const rate of [0.01, 0.1, 0.5, 0.9]) {
    const taken = shares.filter((share) => share < rate).length / shares.length
    expect(Math.abs(taken - rate)).toBeLessThan(0.02)
  }
})

const joined = (pieces: readonly (Uint8Array | string)[]): Buffer =>
  Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)))

const kinds: [kind: string, piece: (bytes: Buffer) => Buffer | string][] = [
  ['buffers', (bytes) => bytes],
  ['strings', (bytes) => bytes.toString('latin1')],
  ['both', (bytes) => (bytes.length % 2 === 0 ? bytes : bytes.toString('latin1'))],
]

test.each(kinds)('1-byte chunks cost about what their bytes cost: %s', (_kind, piece) => {
  const { slabs, used } = pool()
  const body = new BodyKeep(256 * 1024)
  const base = used()
  for (let i = 0; i < 300_000; i++) body.add(piece(Buffer.from([i & 255])), slabs)
  body.close()
  expect(body.kept).toBe(256 * 1024)
  expect(body.size).toBe(300_000)
  expect(body.pieces.length).toBeLessThan(100)
  expect(used() - base).toBeLessThan(2 * 256 * 1024)
  const whole = joined(body.pieces)
  expect(whole.every((byte, index) => byte === (index & 255))).toBe(true)
  body.release(slabs)
  expect(used()).toBe(base)
})

test.each(kinds)('chunks of all sizes come out as they went in, up to the cap: %s', (_kind, piece) => {
  const { slabs } = pool()
  const body = new BodyKeep(100_000)
  const chunks = Array.from({ length: 400 }, (_, index) => Buffer.alloc((index * 37) % 5000, index))
  for (const chunk of chunks) body.add(piece(chunk), slabs)
  body.close()
  expect(joined(body.pieces).equals(Buffer.concat(chunks).subarray(0, 100_000))).toBe(true)
  expect(body.limited).toBe(false)
})

test('a small view never keeps a large buffer alive', () => {
  const { slabs, used } = pool()
  const base = used()
  const body = new BodyKeep(1000)
  body.add(Buffer.from(new ArrayBuffer(MIB)).subarray(0, 10), slabs)
  body.close()
  const [first] = body.pieces as Uint8Array[]
  expect(first?.buffer.byteLength).toBeLessThanOrEqual(1000)
  expect(used() - base).toBeLessThanOrEqual(4096)
})

test('over the budget a body stops growing and says so', () => {
  const { slabs, used } = pool(4 * MIB)
  const bodies = Array.from({ length: 10 }, () => new BodyKeep(MIB))
  for (const body of bodies) body.add(Buffer.from(new ArrayBuffer(MIB)), slabs)
  expect(bodies.filter(({ limited }) => limited).length).toBe(8)
  expect(used()).toBeLessThanOrEqual(4 * MIB)
  for (const body of bodies) body.release(slabs)
  expect(used()).toBe(0)
})
