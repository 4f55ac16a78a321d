/** Bodies are copied as bytes: the same JSON string as V8 makes of them, and no field slips by on the way. */
import { expect, test } from 'vitest'
import { FieldWatch } from '../../src/recorder/field-watch.ts'
import { ItemBuffer } from '../../src/recorder/item-buffer.ts'
import { appendText } from '../../src/recorder/json-escape.ts'
import { randomOf } from '../support/random.ts'

/** As many bytes as the writer takes at a time: what lies across their borders is what could go wrong. */
const STEP = 16_384

function written(body: Buffer, watch: FieldWatch | null): string | null {
  const out = new ItemBuffer()
  out.text('before')
  const whole = appendText(out, body, 0, body.length, watch)
  expect(out.bytes.toString('utf8', 0, 6)).toBe('before')
  if (!whole) expect(out.length).toBe(6)
  return whole ? out.bytes.toString('utf8', 6, out.length) : null
}

test('any text is the JSON string that V8 writes', () => {
  const random = randomOf(7)
  const characters = ['"', '\\', '\n', '\t', '\u0001', '\u007f', 'a', 'Z', ' ', 'ü', '€', '🔑', '\u2028', '/']
  for (let round = 0; round < 300; round++) {
    const length = random.below(round % 50 === 0 ? 3 * STEP : 200)
    const text = Array.from({ length }, () => random.pick(characters)).join('')
    expect(written(Buffer.from(text), null)).toBe(JSON.stringify(text).slice(1, -1))
  }
})

test('a field is suspected wherever it stands, in any case of letters; others are not', () => {
  const watch = new FieldWatch(['password', 'cvv'])
  for (const at of [0, 1, STEP - 12, STEP - 9, STEP - 6, STEP - 5, STEP - 1, STEP, STEP + 1, 3 * STEP]) {
    for (const key of ['"password"', '"PassWord"', '"CVV"', '"pass\\u0077ord"']) {
      const body = Buffer.from(`${' '.repeat(at)}${key}: 1`)
      expect(written(body, watch), `${key} at ${at}`).toBeNull()
      expect(watch.finds(body), `${key} at ${at}`).toBe(true)
    }
    const other = `${' '.repeat(at)}{"passwort":1,"cvs":"a\\n","p":"c"}`
    expect(written(Buffer.from(other), watch)).toBe(JSON.stringify(other).slice(1, -1))
    expect(watch.finds(Buffer.from(other))).toBe(false)
  }
})

test('bytes that are no UTF-8 are told, at whatever place', () => {
  for (const at of [0, 1, STEP - 1, STEP, 2 * STEP + 5]) {
    const body = Buffer.concat([Buffer.alloc(at, 'ü'), Buffer.from([0xff]), Buffer.from('rest')])
    expect(written(body, null)).toBeNull()
  }
})

test('what is suspected is exactly what may be a field, however long its name and wherever it stands', () => {
  const random = randomOf(5)
  const names = ['id', 'Token', 'x-y', 'n'.repeat(30), 'n'.repeat(31), 'n'.repeat(45)]
  const parts = [
    '"',
    '":',
    '\\',
    '\\u0041',
    ' ',
    'text',
    ...names,
    ...names.map((name) => name.toUpperCase()),
  ]
  const watch = new FieldWatch(names)
  let suspects = 0
  for (let round = 0; round < 3000; round++) {
    const before = random.once(20) ? ' '.repeat(STEP - random.below(60)) : ''
    const count = random.below(8)
    const text = before + Array.from({ length: count }, () => random.pick(parts)).join('')
    const body = Buffer.from(text)
    const isSuspect = watch.finds(body)
    if (isSuspect) suspects++
    expect(written(body, watch), text.trim()).toBe(isSuspect ? null : JSON.stringify(text).slice(1, -1))
  }
  expect(suspects).toBeGreaterThan(100)
})
