/** Free text in stored entries: searched for in their payloads as they are, ignoring case. */
import { HEAD_BYTES } from './format.ts'

/** Tells whether a stored entry holds a text; reads no further than the length that the value says it has. */
export function textTest(text: string): (value: Buffer) => boolean {
  // As JSON would write it, so that quotes and line ends in the text are found.
  const needle = JSON.stringify(text).slice(1, -1).toLowerCase()
  // In UTF-8 a character below 128 is one byte and nothing else is: such a text needs no decoding.
  const encoding = /^[\x20-\x7e]*$/.test(needle) ? 'latin1' : 'utf8'
  return (value) => value.toString(encoding, HEAD_BYTES, value.length).toLowerCase().includes(needle)
}
