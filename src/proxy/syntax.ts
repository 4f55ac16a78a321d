/** The characters of HTTP/1.1 messages, as tables and tests that both parsers and both writers use. */

export const CR = 0x0d
export const LF = 0x0a
export const SPACE = 0x20
export const TAB = 0x09
export const COLON = 0x3a
export const SEMICOLON = 0x3b

/** RFC 9110 §5.6.2. */
export const isTokenChar = new Uint8Array(256)
for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  isTokenChar[char.charCodeAt(0)] = 1
}

/** Value of a hexadecimal digit; -1 for any other byte. */
export const hexDigit = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  hexDigit[digit.toString(16).charCodeAt(0)] = digit
  hexDigit[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

const extensionName = "[!#$%&'*+.^_`|~\\w-]+"
const quotedString = '"(?:[\\t !\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t -\\x7e\\x80-\\xff])*"'
/** Extensions of a chunk: RFC 9112 §7.1.1, without the whitespace that it calls bad. */
export const extensionForm = new RegExp(`^(?:;${extensionName}(?:=(?:${extensionName}|${quotedString}))?)+$`)

/** RFC 9110 §8.6: digits alone, no list; as many as a number holds exactly. */
export const lengthForm = /^[0-9]{1,15}$/

/** RFC 9110 §5.5: all but control characters, tabs among them. */
export const isValueChar = new Uint8Array(256).fill(1, SPACE)
isValueChar[TAB] = 1
isValueChar[0x7f] = 0

/** Whether this part of a line holds nothing else. */
export function isClean(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (isValueChar[text.charCodeAt(i)] !== 1) return false
  return true
}

export function isBlank(char: number): boolean {
  return char === SPACE || char === TAB
}

const closeOption = /(?:^|[,\s])close(?:$|[,\s])/i
const keepAliveOption = /(?:^|[,\s])keep-alive(?:$|[,\s])/i

/** RFC 9112 §9.3: whether another message may follow. `connection` is the value of that field, or empty. */
export function isPersistent(connection: string, old: boolean): boolean {
  if (connection === '') return !old
  if (closeOption.test(connection)) return false
  return !old || keepAliveOption.test(connection)
}
