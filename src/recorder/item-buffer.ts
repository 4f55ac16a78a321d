/** The bytes of one item while it is written: text, and bodies that are escaped without becoming strings. */

const BYTES_MIN = 16_384
/** A buffer that grew beyond this for one large item is given up afterwards. */
const BYTES_KEPT = 1_048_576

const QUOTE = 0x22
const BACKSLASH = 0x5c
const hexDigits = Buffer.from('0123456789abcdef', 'latin1')

/** RFC 8259 §7: 0 = stands for itself, 1 = \u00xx, anything else = the letter of its short escape. */
const escapes = new Uint8Array(256).fill(1, 0, 0x20)
for (const [byte, letter] of [[0x08, 'b'], [0x09, 't'], [0x0a, 'n'], [0x0c, 'f'], [0x0d, 'r']] as const) {
  escapes[byte] = letter.charCodeAt(0)
}
escapes[QUOTE] = QUOTE
escapes[BACKSLASH] = BACKSLASH

export class ItemBuffer {
  bytes = Buffer.allocUnsafeSlow(BYTES_MIN)
  length = 0

  /** Begins a new item. */
  reset(): void {
    this.length = 0
    if (this.bytes.length > BYTES_KEPT) this.bytes = Buffer.allocUnsafeSlow(BYTES_MIN)
  }

  /** Appends text as UTF-8. */
  text(text: string): void {
    this.#reserve(text.length * 3)
    this.length += this.bytes.write(text, this.length)
  }

  /** Appends valid UTF-8 as the inside of a JSON string: about three times as fast as by way of a string. */
  escaped(source: Buffer): void {
    this.#reserve(source.length * 6)
    const target = this.bytes
    const end = source.length
    let at = this.length
    for (let index = 0; index < end; index++) {
      const byte = source[index] as number
      const escape = escapes[byte] as number
      if (escape === 0) {
        target[at++] = byte
        continue
      }
      target[at++] = BACKSLASH
      if (escape !== 1) {
        target[at++] = escape
        continue
      }
      target[at++] = 0x75
      target[at++] = 0x30
      target[at++] = 0x30
      target[at++] = hexDigits[byte >> 4] as number
      target[at++] = hexDigits[byte & 15] as number
    }
    this.length = at
  }

  #reserve(bytes: number): void {
    const needed = this.length + bytes
    if (needed <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }
}
