/** Bodies with a content-encoding are undone as one bounded stream, whole, cut, broken or hostile. */
import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { codingsOf, decodeBody } from '../../src/recorder/decode.ts'

const CAP = 262_144
const rows = Array.from({ length: 3000 }, (_, id) => ({ id, name: `user${id * 7919}`, value: Math.sin(id) }))
const text = Buffer.from(JSON.stringify(rows))
const short = Buffer.from('{"hello":"world"}')

/** The quality that servers use for answers made on the fly; the default one takes seconds here. */
const params = { [constants.BROTLI_PARAM_QUALITY]: 4 }
const brotli = (bytes: Buffer) => brotliCompressSync(bytes, { params })

/** `checked`: the format carries a checksum that tells damage from data. */
const formats = [
  { name: 'gzip', coding: 'gzip', checked: true, pack: (bytes: Buffer) => gzipSync(bytes) },
  { name: 'gzip as x-gzip', coding: 'x-gzip', checked: true, pack: (bytes: Buffer) => gzipSync(bytes) },
  {
    name: 'deflate in zlib format',
    coding: 'deflate',
    checked: true,
    pack: (bytes: Buffer) => deflateSync(bytes),
  },
  {
    name: 'deflate without wrapping',
    coding: 'deflate',
    checked: false,
    pack: (bytes: Buffer) => deflateRawSync(bytes),
  },
  { name: 'br', coding: 'br', checked: false, pack: brotli },
  { name: 'zstd', coding: 'zstd', checked: true, pack: (bytes: Buffer) => zstdCompressSync(bytes) },
]

describe.each(formats)('$name', ({ coding, pack }) => {
  test('whole', () => {
    for (const bytes of [short, text, Buffer.alloc(0)]) {
      const decoded = decodeBody(pack(bytes), [coding], false, CAP)
      expect(decoded).toEqual({ bytes, from: coding, error: null, cut: false })
    }
  })

  test('cut at the cap: as far as it goes', () => {
    const packed = pack(text)
    let longest = 0
    for (const part of [0.02, 0.25, 0.5, 0.9, 0.999]) {
      const decoded = decodeBody(packed.subarray(0, Math.floor(packed.length * part)), [coding], true, CAP)
      expect(decoded.error).toBeNull()
      expect(decoded.cut).toBe(true)
      expect(text.subarray(0, decoded.bytes.length).equals(decoded.bytes)).toBe(true)
      expect(decoded.bytes.length).toBeGreaterThanOrEqual(longest)
      longest = decoded.bytes.length
    }
    expect(longest).toBeGreaterThan(text.length / 2)
  })

  test('cut at every byte of a short body never fails', () => {
    const packed = pack(short)
    for (let length = 1; length < packed.length; length++) {
      const decoded = decodeBody(packed.subarray(0, length), [coding], true, CAP)
      expect(decoded.error).toBeNull()
      expect(short.subarray(0, decoded.bytes.length).equals(decoded.bytes)).toBe(true)
    }
  })

  test('a stream that ends too early, though all of it was captured, is shown as cut', () => {
    const packed = pack(text)
    const decoded = decodeBody(packed.subarray(0, packed.length - 9), [coding], false, CAP)
    expect(decoded.error).toBeNull()
    expect(decoded.cut).toBe(true)
    expect(decoded.bytes.length).toBeGreaterThan(text.length / 2)
  })

  test('longer than the cap: exactly the cap', () => {
    for (const cap of [1, 100, 10_000, text.length - 1]) {
      const decoded = decodeBody(pack(text), [coding], false, cap)
      expect(decoded.error).toBeNull()
      expect(decoded.cut).toBe(true)
      expect(decoded.bytes.length).toBeLessThanOrEqual(cap)
      expect(text.subarray(0, decoded.bytes.length).equals(decoded.bytes)).toBe(true)
      // zstd and br give their output in blocks: a small cap may lie within the first one.
      if (coding !== 'zstd' && coding !== 'br') expect(decoded.bytes.length).toBe(cap)
    }
  })

  test('a bomb is cut and flagged', () => {
    const bomb = pack(Buffer.alloc(64 * 1_048_576, 'a'))
    for (const packed of [bomb, bomb.subarray(0, Math.floor(bomb.length / 2))]) {
      const decoded = decodeBody(packed, [coding], packed !== bomb, CAP)
      expect(decoded.error).toBeNull()
      expect(decoded.cut).toBe(true)
      // br packs all of it into one command of a few bytes, which gives everything or nothing.
      expect(decoded.bytes.length).toBe(coding === 'br' ? 0 : CAP)
      expect(decoded.bytes.equals(Buffer.alloc(decoded.bytes.length, 'a'))).toBe(true)
    }
  })

  test('what is no such stream', () => {
    const junk = Buffer.from('this is not compressed at all, it only says so')
    const decoded = decodeBody(junk, [coding], false, CAP)
    expect(decoded).toEqual({ bytes: junk, from: null, error: `the body is not valid ${coding}`, cut: false })
  })
})

test.each(formats.filter(({ checked }) => checked))('$name broken in the middle', ({ coding, pack }) => {
  const broken = Buffer.from(pack(text))
  const middle = broken.length >>> 1
  for (let at = middle; at < middle + 64; at++) broken[at] = ~(broken[at] as number) & 0xff
  const decoded = decodeBody(broken, [coding], false, CAP)
  expect(decoded.error).toBe(`the body is not valid ${coding}`)
  expect(decoded.bytes).toBe(broken)
})

test('gzip of several members is one body', () => {
  const packed = Buffer.concat([gzipSync('one '), gzipSync('two '), gzipSync('three')])
  expect(decodeBody(packed, ['gzip'], false, CAP).bytes.toString()).toBe('one two three')
  expect(decodeBody(packed.subarray(0, packed.length - 12), ['gzip'], true, CAP).bytes.toString()).toMatch(
    /^one two /,
  )
})

test('several codings are undone in the reverse of their order', () => {
  const packed = brotli(gzipSync(text))
  const codings = codingsOf('gzip, BR')
  expect(decodeBody(packed, codings, false, CAP)).toEqual({
    bytes: text,
    from: 'gzip, br',
    error: null,
    cut: false,
  })
  const cut = decodeBody(packed.subarray(0, packed.length >>> 1), codings, true, CAP)
  expect(cut.error).toBeNull()
  expect(text.subarray(0, cut.bytes.length).equals(cut.bytes)).toBe(true)
  const mixed = decodeBody(gzipSync(text), codings, false, CAP)
  expect(mixed).toMatchObject({ error: 'the body is not valid br', from: null })
})

test('identity and empty list elements are no codings', () => {
  expect(codingsOf('identity')).toEqual([])
  expect(codingsOf(' , Identity ,')).toEqual([])
  expect(codingsOf('identity, GZIP')).toEqual(['gzip'])
})

test('unknown codings and long chains are refused', () => {
  expect(decodeBody(short, ['compress'], false, CAP).error).toBe('the content-encoding is not supported')
  const chain = codingsOf('gzip,gzip,gzip,gzip,gzip')
  expect(decodeBody(short, chain, false, CAP).error).toBe('at most 4 codings are undone, got 5')
})

test('a chain of bombs stays within the cap', () => {
  let packed: Buffer = Buffer.alloc(16 * 1_048_576)
  for (let layer = 0; layer < 3; layer++) packed = gzipSync(packed)
  const decoded = decodeBody(packed, ['gzip', 'gzip', 'gzip'], false, 1000)
  expect(decoded.error).toBeNull()
  expect(decoded.bytes.length).toBeLessThanOrEqual(1000)
})

test('a zstd window that no HTTP sender may ask for is refused instead of allocated', () => {
  // RFC 8878 §3.1.1.1.2: exponent 17 makes a window of 128 MiB; RFC 9659 §3 allows 8 MiB.
  const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00])
  expect(decodeBody(frame, ['zstd'], false, CAP).error).toBe('the body is not valid zstd')
  const modest = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 0x01, 0x00, 0x00])
  expect(decodeBody(modest, ['zstd'], false, CAP)).toMatchObject({ error: null, cut: false })
})
