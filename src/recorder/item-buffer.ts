/** The bytes of items while they are written: what was captured becomes JSON without becoming strings. */
import type { SlabReader } from '../queue/slab-reader.ts'

const BYTES_MIN = 16_384
/** A buffer that grew beyond this is given up when it is forgotten. */
const BYTES_KEPT = 4_194_304

const QUOTE = 0x22
const BACKSLASH = 0x5c
const ZERO = 0x30
/** `\u001f`. */
const ESCAPE_BYTES_MAX = 6
const hexDigits = Buffer.from('0123456789abcdef', 'latin1')

/** What a byte needs in a JSON string (RFC 8259 §7); anything else is the letter of its short escape. */
const PLAIN = 0
const UNICODE = 1
const WIDE = 2
const escapes = new Uint8Array(256).fill(UNICODE, 0, 0x20).fill(WIDE, 0x80)
for (const [byte, letter] of [
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
] as const) {
  escapes[byte] = letter.charCodeAt(0)
}
escapes[QUOTE] = QUOTE
escapes[BACKSLASH] = BACKSLASH

/** Four bytes at a time: the same byte in each of them, and the highest bit of each. */
const QUOTES = 0x2222_2222
const BACKSLASHES = 0x5c5c_5c5c
const SPACES = 0x2020_2020
const ONES = 0x0101_0101
const HIGHS = 0x8080_8080 | 0
/** Behind what is written, so that eight bytes can be where fewer are meant. */
const SLACK_BYTES = 8

/** Text that is written again and again. */
export interface Literal {
  /**
   * Eight bytes each, the first one lowest; the last one filled up. No bytes of UTF-8 are those of a NaN,
   * which might change on its way.
   */
  readonly words: Float64Array
  /** Bytes. */
  readonly length: number
}

export function literal(text: string): Literal {
  const bytes = Buffer.from(text)
  const filled = Buffer.concat([bytes, Buffer.alloc(-bytes.length & 7)])
  const words = Float64Array.from({ length: filled.length / 8 }, (_, word) => filled.readDoubleLE(word * 8))
  return { words, length: bytes.length }
}

const POINT = 0x2e
/** The three digits of every number below a thousand, the first one lowest. */
const threeDigits = Int32Array.from({ length: 1000 }, (_, number) =>
  Buffer.from(`${String(number).padStart(3, '0')}\0`).readInt32LE(),
)

/** Writes the escape of a byte at `at`, and returns where the next one goes. */
function writeEscape(target: Uint8Array, start: number, byte: number, escape: number): number {
  let at = start
  target[at++] = BACKSLASH
  if (escape !== UNICODE) {
    target[at++] = escape
    return at
  }
  target[at++] = 0x75
  target[at++] = ZERO
  target[at++] = ZERO
  target[at++] = hexDigits[byte >> 4] as number
  target[at++] = hexDigits[byte & 15] as number
  return at
}

export class ItemBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(BYTES_MIN)
  length = 0
  #view = viewOf(this.bytes)
  /** Bytes that it can hold. */
  #room = BYTES_MIN - SLACK_BYTES
  /** What was copied from last. */
  #source = this.bytes
  #sourceView = this.#view

  /** Forgets what it holds. */
  reset(): void {
    this.length = 0
    if (this.bytes.length > BYTES_KEPT) this.#use(Buffer.allocUnsafeSlow(BYTES_MIN))
  }

  /** Forgets what lies before `from`. */
  dropFirst(from: number): void {
    this.bytes.copyWithin(0, from, this.length)
    this.length -= from
  }

  #use(bytes: Buffer): void {
    this.bytes = bytes
    this.#view = viewOf(bytes)
    this.#room = bytes.length - SLACK_BYTES
  }

  /** Appends it as it is; quicker than a call of the system's own for the few bytes that these are. */
  literal({ words, length }: Literal): void {
    this.#reserve(length)
    const view = this.#view
    const at = this.length
    for (let i = 0; i < words.length; i++) view.setFloat64(at + i * 8, words[i] as number, true)
    this.length = at + length
  }

  /** Appends UTF-8 as it is, eight bytes at a time: `view` has to have as many behind its end. */
  copy(view: DataView, from: number, length: number): void {
    this.#reserve(length)
    const target = this.#view
    const shift = this.length - from
    for (let at = from; at < from + length; at += 8)
      target.setFloat64(at + shift, view.getFloat64(at, true), true)
    this.length += length
  }

  /** Copies what it holds from `from` on, and up to seven bytes more. */
  copyTo(view: DataView, start: number, from: number): void {
    const source = this.#view
    const shift = start - from
    for (let at = from; at < this.length; at += 8)
      view.setFloat64(at + shift, source.getFloat64(at, true), true)
  }

  /** Appends text as UTF-8, as it is. */
  text(text: string): void {
    this.#reserve(text.length * 3)
    this.length += this.bytes.write(text, this.length)
  }

  /** Appends text as the inside of a JSON string. */
  inside(text: string): void {
    this.text(JSON.stringify(text).slice(1, -1))
  }

  /** Appends a whole number. */
  integer(value: number): void {
    if (!(value >= 0 && value <= 0x7fff_ffff)) return this.text(String(value))
    if (value < 1000) return this.#lastDigits(value, value < 10 ? 1 : value < 100 ? 2 : 3)
    const thousands = (value / 1000) | 0
    this.integer(thousands)
    this.#lastDigits(value - thousands * 1000, 3)
  }

  /** Appends a number below 1000 with zeros in front. */
  thousandths(value: number): void {
    this.#lastDigits(value, 3)
  }

  #lastDigits(value: number, digits: number): void {
    this.#reserve(digits)
    this.#view.setInt32(this.length, (threeDigits[value] as number) >>> (8 * (3 - digits)), true)
    this.length += digits
  }

  /** Appends milliseconds down to microseconds, which keeps noise digits out of every item. */
  milliseconds(value: number): void {
    const micros = Math.round(value * 1000)
    if (!(micros >= 0 && micros <= 0x7fff_ffff)) return this.text(String(micros / 1000))
    const whole = (micros / 1000) | 0
    const fraction = micros - whole * 1000
    this.integer(whole)
    if (fraction === 0) return
    this.#reserve(4)
    this.#view.setInt32(this.length, POINT | ((threeDigits[fraction] as number) << 8), true)
    this.length += fraction % 10 !== 0 ? 4 : fraction % 100 !== 0 ? 3 : 2
  }

  /** Appends latin1 as the inside of a JSON string. */
  latin1(source: Buffer, from: number, to: number): void {
    this.#reserve((to - from) * ESCAPE_BYTES_MAX)
    const target = this.bytes
    const shift = this.length - from
    const view = this.#view
    const read = this.#viewOf(source)
    let at = from
    for (; at + 4 <= to; at += 4) {
      const word = read.getInt32(at, true)
      if (hasSpecial(word)) break
      view.setInt32(at + shift, word, true)
    }
    for (; at < to; at++) {
      const byte = source[at] as number
      if (escapes[byte] !== PLAIN) break
      target[at + shift] = byte
    }
    this.length = at + shift
    if (at < to) this.#escaped(source, at, to)
  }

  /** Appends a string of `stringAt` as the inside of a JSON string. */
  string(record: SlabReader, string: number): void {
    this.latin1(record.bytes, record.from(string), record.to(string))
  }

  /** Appends the escape of a byte that has to have one. */
  escape(byte: number): void {
    this.#reserve(ESCAPE_BYTES_MAX)
    this.length = writeEscape(this.bytes, this.length, byte, escapes[byte] as number)
  }

  #escaped(source: Uint8Array, from: number, to: number): void {
    const target = this.bytes
    let end = this.length
    for (let at = from; at < to; at++) {
      const byte = source[at] as number
      const escape = escapes[byte] as number
      if (escape === PLAIN) target[end++] = byte
      else if (escape === WIDE) {
        target[end++] = 0xc0 | (byte >> 6)
        target[end++] = 0x80 | (byte & 0x3f)
      } else end = writeEscape(target, end, byte, escape)
    }
    this.length = end
  }

  /** Appends what another one holds. */
  append(other: ItemBuffer): void {
    this.raw(other.bytes, 0, other.length)
  }

  /** Appends bytes as they are: the way for more than a few. */
  raw(source: Buffer, from: number, to: number): void {
    this.#reserve(to - from)
    source.copy(this.bytes, this.length, from, to)
    this.length += to - from
  }

  #reserve(bytes: number): void {
    if (this.length + bytes <= this.#room) return
    const needed = this.length + bytes + SLACK_BYTES
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(larger, 0, 0, this.length)
    this.#use(larger)
  }

  /** All that it reads from lies in a few slabs, one after the other. */
  #viewOf(source: Buffer): DataView {
    if (source !== this.#source) {
      this.#source = source
      this.#sourceView = viewOf(source)
    }
    return this.#sourceView
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/**
 * Whether a byte of a word needs an escape, or is not ASCII. A byte is 0 or below a space where taking 1 or a
 * space from it borrows.
 */
function hasSpecial(word: number): boolean {
  const quotes = word ^ QUOTES
  const backslashes = word ^ BACKSLASHES
  const escaped =
    ((word - SPACES) & ~word) | ((quotes - ONES) & ~quotes) | ((backslashes - ONES) & ~backslashes)
  return ((escaped | word) & HIGHS) !== 0
}
