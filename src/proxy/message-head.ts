/**
 * What the heads of requests and of answers have in common: how the message is framed, and the field lines
 * that go on. Lines are not taken apart and put together again: runs of them go on as they came.
 */
import { dropLines, dropNominated } from './headers.ts'
import { isPersistent, lengthForm, SPACE } from './syntax.ts'

/** Where one field line stands in a text; the blanks around its value are not part of that. */
export interface Line {
  from: number
  colon: number
  valueFrom: number
  valueTo: number
  /** Behind the CRLF. */
  to: number
}

export type Taken = 'kept' | 'dropped' | 'broken'

/** Which names need more than being kept, by their length: a bit for each first letter. */
export function initialsOf(names: readonly string[]): Int32Array {
  const initials = new Int32Array(Math.max(...names.map(({ length }) => length)) + 1)
  for (const name of names) initials[name.length]! |= 1 << (name.charCodeAt(0) & 31)
  return initials
}

/** The name of a line in small letters where it may be one of those; empty for all others. */
export function namedBy(initials: Int32Array, text: string, { from, colon }: Line): string {
  const length = colon - from
  if (length >= initials.length) return ''
  const bit = ((initials[length] as number) >>> (text.charCodeAt(from) & 31)) & 1
  return bit === 1 ? text.slice(from, colon).toLowerCase() : ''
}

export abstract class MessageHead {
  /** HTTP/1.0: no chunks, and its connection ends unless it says otherwise. */
  readonly old: boolean
  /** `name: value` and CRLF each, what may go on. Complete when the head is. */
  lines = ''
  chunked = false
  /** -1 = no Content-Length. */
  contentLength = -1
  connection = ''
  trailer = ''
  /** What is kept of the text at hand and not in `lines` yet: a run of lines; empty where both are 0. */
  #runFrom = 0
  #runTo = 0

  constructor(old: boolean) {
    this.old = old
  }

  /** Takes the next field. False: it leaves the borders of the message in doubt. */
  abstract take(text: string, line: Line): boolean

  /** Keeps a line. Returns where in `lines` it will stand. */
  protected keep(text: string, line: Line): number {
    const { from, colon, valueFrom, valueTo, to } = line
    const plain = valueFrom === colon + 2 && valueTo === to - 2 && text.charCodeAt(colon + 1) === SPACE
    if (!plain || this.#runTo !== from) this.textEnds(text)
    const at = this.lines.length + this.#runTo - this.#runFrom
    if (plain) {
      if (this.#runTo === 0) this.#runFrom = from
      this.#runTo = to
    } else this.lines += `${text.slice(from, colon)}: ${text.slice(valueFrom, valueTo)}\r\n`
    return at
  }

  /** Whoever reads it goes on with another text, or is at the end. */
  textEnds(text: string): void {
    if (this.#runTo !== 0) this.lines += text.slice(this.#runFrom, this.#runTo)
    this.#runFrom = 0
    this.#runTo = 0
  }

  /** What framing and hop-by-hop fields mean in either direction (RFC 9110 §7.6.1). */
  protected takeCommon(lower: string, value: string): Taken {
    switch (lower) {
      case 'connection':
        this.connection = this.connection === '' ? value : `${this.connection},${value}`
        return 'dropped'
      case 'content-length':
        // RFC 9112 §6.3: several of them, or a list, are refused even where they agree.
        if (this.contentLength !== -1 || !lengthForm.test(value)) return 'broken'
        this.contentLength = Number(value)
        return 'kept'
      case 'transfer-encoding':
        // RFC 9112 §6.1: `chunked`, once and alone, is what every parser understands alike.
        if (this.chunked || value.toLowerCase() !== 'chunked') return 'broken'
        this.chunked = true
        return 'dropped'
      case 'trailer':
        this.trailer = this.trailer === '' ? value : `${this.trailer}, ${value}`
        return 'dropped'
      case 'te':
      case 'upgrade':
      case 'keep-alive':
      case 'proxy-connection':
        return 'dropped'
      default:
        return 'kept'
    }
  }

  /** All fields are here. False: together they leave the borders of the message in doubt. */
  protected framed(): boolean {
    if (this.connection !== '') this.lines = dropNominated(this.lines, this.connection)
    // RFC 9112 §6.1: both framings, or chunks from a version that has none.
    return !this.chunked || (this.contentLength === -1 && !this.old)
  }

  /** Removes the lines of a field, by its lower-case name. */
  protected drop(lower: string): void {
    this.lines = dropLines(this.lines, (name) => name === lower)
  }

  get persistent(): boolean {
    return isPersistent(this.connection, this.old)
  }
}
