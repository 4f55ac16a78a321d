/**
 * The judge's reading of HTTP/1.1 on the wire, apart from the gateway's own: lines, fields, framing, chunks.
 * Text is latin1, one character per byte.
 */

/**
 * - `whole`: read to its end
 * - `unfinished`: more bytes are needed to say
 * - `bad`: malformed, or with borders that another reader could see elsewhere
 */
export type State = 'whole' | 'unfinished' | 'bad'

export type Field = readonly [name: string, value: string]

/** What a reader finds out; `doubts` are reasons for which a recipient may refuse it, or take it as read. */
export interface Found {
  state: State
  why: string
  doubts: string[]
  /** Where it ends; where reading stopped, when it is not whole. */
  end: number
}

export interface Lines extends Found {
  lines: string[]
}

export interface Body extends Found {
  /** Without the framing; what there is of it. */
  body: string
  trailers: Field[]
}

export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }

/** RFC 9110 §5.6.2. */
export const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
/** RFC 9110 §5.6.4. */
const quoted = '"(?:[\\t !\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"'
/** RFC 9110 §5.5, §2.2 of RFC 9112: no control but a tab, so neither bare CR nor bare LF. */
const control = /[^\t\x20-\x7e\x80-\xff]/
const fieldForm = new RegExp(`^(${token}):[ \\t]*(.*?)[ \\t]*$`)
/** RFC 9112 §7.1.1. */
const extensionForm = new RegExp(`^(?:;${token}(?:=(?:${token}|${quoted}))?)*$`)
/** With the whitespace that it allows to be read, and forbids to be sent. */
const looseForm = new RegExp(`^(?:[ \\t]*;[ \\t]*${token}(?:[ \\t]*=[ \\t]*(?:${token}|${quoted}))?)*$`)

/** A size of more digits than this is beyond what gateways need to take. */
const sizeDigitsMax = 16
/** Bytes of extensions that gateways need to take. */
const extensionBytesMax = 4096

/** No line: it holds what none may. */
const badLine = '\n'

/** One line from `at` without its end; null = its end is missing. */
function readLine(text: string, at: number): string | null {
  const end = text.indexOf('\r\n', at)
  const line = text.slice(at, end === -1 ? text.length : end)
  // Whether a CR at the very end begins a line end is not known yet.
  const seen = end === -1 && line.endsWith('\r') ? line.slice(0, -1) : line
  if (control.test(seen)) return badLine
  return end === -1 ? null : line
}

/** Lines up to the empty one, which is part of it (RFC 9112 §2.1). */
export function readLines(text: string, at: number): Lines {
  const lines: string[] = []
  for (;;) {
    const line = readLine(text, at)
    const found = { lines, doubts: [], end: at }
    if (line === badLine) return { ...found, state: 'bad', why: 'a control character in a line' }
    if (line === null) return { ...found, state: 'unfinished', why: 'the end of a line is missing' }
    at += line.length + 2
    if (line === '') return { ...found, state: 'whole', why: '', end: at }
    lines.push(line)
  }
}

/** RFC 9112 §5: `name:value`, no space before the colon (§5.1), no fold (§5.2); or what is wrong. */
export function readFields(lines: readonly string[]): Field[] | string {
  const fields: Field[] = []
  for (const line of lines) {
    const [, name, value] = fieldForm.exec(line) ?? []
    if (name === undefined || value === undefined) return `no field: ${JSON.stringify(line.slice(0, 60))}`
    fields.push([name, value])
  }
  return fields
}

/** Values of a field, in order (RFC 9110 §5.1: names have no case). */
export function valuesOf(fields: readonly Field[], lower: string): string[] {
  return fields.flatMap(([name, value]) => (name.toLowerCase() === lower ? [value] : []))
}

/** Elements of all values of a field, lower case (RFC 9110 §5.6.1). */
export function optionsOf(fields: readonly Field[], lower: string): string[] {
  return valuesOf(fields, lower)
    .flatMap((value) => value.split(','))
    .map((option) => option.trim().toLowerCase())
    .filter((option) => option !== '')
}

/** RFC 9112 §6 without its mercies; or what is wrong. */
export function readFraming(fields: readonly Field[], version: string, doubts: string[]): Framing | string {
  const lengths = valuesOf(fields, 'content-length')
  const codings = valuesOf(fields, 'transfer-encoding')
  // RFC 9112 §6.1, §11.2: both of them is how requests are smuggled.
  if (lengths.length > 0 && codings.length > 0) return 'both Content-Length and Transfer-Encoding'
  if (codings.length > 0) {
    if (version === '1.0') return 'Transfer-Encoding in HTTP/1.0'
    if (optionsOf(fields, 'transfer-encoding').join() !== 'chunked') return 'a coding that is not chunked'
    // RFC 9110 §5.6.1.2: empty elements may be there, and nobody has to send them.
    if (codings.length > 1 || codings[0]?.toLowerCase() !== 'chunked') doubts.push('empty codings')
    return { kind: 'chunked' }
  }
  // RFC 9112 §6.3: several of them, or a list, are refused even where they agree.
  if (lengths.length > 1) return 'several Content-Length'
  const [length] = lengths
  if (length === undefined) return { kind: 'none' }
  if (!/^[0-9]+$/.test(length)) return 'a Content-Length that is no number'
  if (Number(length) > Number.MAX_SAFE_INTEGER) return 'a Content-Length beyond all numbers'
  if (/^0./.test(length)) doubts.push('a Content-Length with leading zeros')
  return { kind: 'length', length: Number(length) }
}

/** A body with its framing, from `at`. */
export function readBody(text: string, at: number, framing: Framing): Body {
  if (framing.kind === 'chunked') return readChunks(text, at)
  const end = at + (framing.kind === 'length' ? framing.length : 0)
  const found = { body: text.slice(at, end), trailers: [], doubts: [], end: Math.min(end, text.length) }
  if (end <= text.length) return { ...found, state: 'whole', why: '' }
  return { ...found, state: 'unfinished', why: 'bytes of the body are missing' }
}

/** RFC 9112 §7.1.1: what follows a chunk size; what is wrong with it, or null. */
function judgeExtension(extension: string, doubts: string[]): string | null {
  if (extensionForm.test(extension)) return null
  if (!looseForm.test(extension)) return `a chunk extension ${JSON.stringify(extension.slice(0, 60))}`
  doubts.push('whitespace in a chunk extension')
  return null
}

/** RFC 9112 §7.1. */
function readChunks(text: string, at: number): Body {
  const found: Body = { state: 'bad', why: '', doubts: [], end: at, body: '', trailers: [] }
  let extensionBytes = 0
  for (;;) {
    found.end = at
    const line = readLine(text, at)
    if (line === badLine) return { ...found, why: 'a control character in a chunk size' }
    if (line === null) return { ...found, state: 'unfinished', why: 'a chunk size is missing' }
    const [, digits = '', extension = ''] = /^([0-9A-Fa-f]+)(.*)$/.exec(line) ?? []
    const size = Number.parseInt(digits, 16)
    if (!(size <= Number.MAX_SAFE_INTEGER)) return { ...found, why: `a chunk size ${JSON.stringify(line)}` }
    if (digits.length > sizeDigitsMax) found.doubts.push('a chunk size of many zeros')
    const wrong = judgeExtension(extension, found.doubts)
    if (wrong !== null) return { ...found, why: wrong }
    extensionBytes += extension.length
    if (extensionBytes > extensionBytesMax) found.doubts.push('many bytes of chunk extensions')
    at += line.length + 2
    if (size === 0) return readTrailers(text, at, found)
    found.body += text.slice(at, at + size)
    at += size
    found.end = Math.min(at, text.length)
    const border = text.slice(at, at + 2)
    if (!'\r\n'.startsWith(border)) return { ...found, why: 'a chunk that is longer than its size' }
    if (border !== '\r\n') return { ...found, state: 'unfinished', why: 'bytes of a chunk are missing' }
    at += 2
  }
}

/** Fields that must not be trailers (RFC 9110 §6.5.1): dropped or refused, they change nothing. */
const framingNames = /^(?:content-length|transfer-encoding|host|trailer|connection|te|upgrade|keep-alive)$/i

/** RFC 9112 §7.1.2. */
function readTrailers(text: string, at: number, found: Body): Body {
  const { lines, state, why, end } = readLines(text, at)
  const fields = readFields(lines)
  if (typeof fields === 'string')
    return { ...found, state: state === 'unfinished' ? state : 'bad', why: fields, end }
  if (fields.some(([name]) => framingNames.test(name))) found.doubts.push('a trailer that is no trailer')
  return { ...found, state, why, end, trailers: fields }
}
