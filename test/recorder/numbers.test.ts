/** Numbers and fixed text of items, which are written several bytes at a time, are what JSON says. */
import { expect, test } from 'vitest'
import { ItemBuffer, literal } from '../../src/recorder/item-buffer.ts'

function written(write: (out: ItemBuffer) => void): string {
  const out = new ItemBuffer()
  write(out)
  return out.bytes.toString('utf8', 0, out.length)
}

test('whole numbers', () => {
  const borders = [0x7fff_ffff, 0x8000_0000, 1e15, -1]
  for (let power = 1; power < 1e10; power *= 10) borders.push(power - 1, power, power + 1)
  for (const value of [...borders, ...Array(1000).keys()])
    expect(written((out) => out.integer(value))).toBe(String(value))
})

test('milliseconds, down to the microsecond', () => {
  for (let micros = 0; micros < 1000; micros += 1) {
    const value = (12_000 + micros) / 1000
    expect(written((out) => out.milliseconds(value))).toBe(String(value))
  }
  for (const value of [0, 0.0004, 0.9996, 999.9999, 2_147_483.647, 2_147_483.648, 1e9, -0.5])
    expect(written((out) => out.milliseconds(value))).toBe(String(Math.round(value * 1000) / 1000))
})

test('thousandths, with zeros in front', () => {
  for (const value of Array(1000).keys())
    expect(written((out) => out.thousandths(value))).toBe(String(value).padStart(3, '0'))
})

test('text of every length, beyond ASCII too', () => {
  const text = 'é€😀~}"\\\u007f\u00ff'.repeat(9)
  for (let length = 0; length <= text.length; length += 1) {
    const part = text.slice(0, length).toWellFormed()
    expect(written((out) => out.literal(literal(part)))).toBe(part)
  }
})

test('a buffer that is full grows for the last bytes', () => {
  for (let bytes = 16_360; bytes <= 16_384; bytes += 1) {
    const fill = 'x'.repeat(bytes)
    const out = written((buffer) => {
      buffer.literal(literal(fill))
      buffer.literal(literal('"'))
      buffer.milliseconds(1234.5)
    })
    expect(out).toBe(`${fill}"1234.5`)
  }
})
