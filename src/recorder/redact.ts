/** What is taken out of an item before it leaves the process: names of one mirror, compiled once. */
import type { RecordMirror } from '../contract/tasks.ts'
import { Detector } from './detect.ts'
import type { FieldWatch } from './field-watch.ts'
import { PairRedactor, suspectPairs } from './redact-form.ts'
import { JsonRedactor } from './redact-json.ts'
import { NameSet } from './name-set.ts'
import { type RedactMode, type Substitute, substituteOf } from './substitute.ts'

/** Built-in names (design, Recorder), in lower case: sets are asked, never patterns (trap F5). */
export const defaultHeaders = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'api-token',
] as const
export const defaultQuery = [
  'api_key',
  'apikey',
  'api-key',
  'token',
  'access_token',
  'refresh_token',
  'api-token',
  'auth',
  'key',
  'secret',
  'client_secret',
  'password',
  'sig',
  'signature',
] as const
export const defaultJsonFields = [
  'password',
  'passwd',
  'secret',
  'token',
  'access_token',
  'refresh_token',
  'client_secret',
  'card_number',
  'cvv',
  'ssn',
] as const

/** Headers whose value is a URL. */
const urlHeaders: ReadonlySet<string> = new Set(['referer', 'location'])

/** A body after redaction: its bytes as they were, or as changed text. */
export type RedactedBody =
  | { readonly kind: 'untouched' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'not_redactable' }

const untouched: RedactedBody = { kind: 'untouched' }
const notRedactable: RedactedBody = { kind: 'not_redactable' }

export class Redactor {
  readonly mode: RedactMode
  /** Whether bodies are looked into; then a body that cannot be is left out. */
  readonly fields: boolean
  readonly #headers: ReadonlySet<string>
  readonly #query: PairRedactor
  readonly #queryNames: NameSet
  readonly #form: PairRedactor
  readonly #json: JsonRedactor
  readonly #detector: Detector | null
  readonly #named: boolean
  readonly #substitute: Substitute

  constructor(rules: RecordMirror['redact']) {
    const names = (defaults: readonly string[], extra: readonly string[]): string[] => [
      ...new Set([...(rules.defaults ? defaults : []), ...extra.map((name) => name.toLowerCase())]),
    ]
    const query = names(defaultQuery, rules.query)
    // Pointers keep their case: a pointer names one field, not a kind of field.
    const pointers = rules.jsonFields.filter((field) => field.startsWith('/'))
    const fields = names(
      defaultJsonFields,
      rules.jsonFields.filter((field) => !field.startsWith('/')),
    )
    const substitute = substituteOf(rules.mode, rules.hashKey)
    this.mode = rules.mode
    this.#named = rules.defaults || rules.query.length > 0 || rules.jsonFields.length > 0
    this.fields = this.#named || rules.detect.length > 0
    this.#substitute = substitute
    this.#headers = new Set(names(defaultHeaders, rules.headers))
    this.#query = new PairRedactor(new Set(query), this.mode, substitute)
    this.#queryNames = new NameSet(query)
    this.#form = new PairRedactor(new Set([...query, ...fields]), this.mode, substitute)
    this.#json = new JsonRedactor([...fields, ...pointers], this.mode, substitute)
    this.#detector = rules.detect.length === 0 ? null : new Detector(rules.detect, substitute)
  }

  /** Whether every value must be looked at, whatever its name. */
  get detects(): boolean {
    return this.#detector !== null
  }

  /** What stands in the place of a header's value. */
  substitute(value: string): string {
    return this.#substitute(value)
  }

  /** Names, in lower case, of headers whose values are taken out; and of those that hold a URL. */
  get headers(): ReadonlySet<string> {
    return this.#headers
  }
  get urlHeaders(): ReadonlySet<string> {
    return urlHeaders
  }

  /** Whether a query may hold what is to be taken out: most hold nothing, and need not become strings. */
  suspectsQuery(bytes: Uint8Array, from: number, to: number): boolean {
    return this.#detector !== null || suspectPairs(bytes, from, to, this.#queryNames)
  }

  /**
   * What a body must be watched for while it is copied; null: nothing. Undefined: it must be read as a whole.
   */
  watch(contentType: string): FieldWatch | null | undefined {
    if (!this.fields) return null
    if (this.#detector !== null || this.#json.watch.always) return undefined
    const kind = kindOf(contentType)
    return kind === 'json' || kind === 'other' ? this.#json.watch : undefined
  }

  /** The very same string when nothing was to be done; so with all that follow. */
  query(text: string): string {
    const named = this.#query.pairs(text)
    return this.#detector === null ? named : this.#detector.parts(named, true)
  }

  path(text: string): string {
    return this.#detector === null ? text : this.#detector.parts(text, false)
  }

  url(text: string): string {
    const named = this.#query.url(text)
    return this.#detector === null ? named : this.#detector.parts(named, true)
  }

  /** The value of a header that no name gives away. */
  header(value: string): string {
    return this.#detector === null ? value : this.#detector.text(value, false)
  }

  /**
   * `bytes` after decoding, possibly cut; `utf8`: they are valid; `contentType` as sent, all of them if
   * several.
   */
  body(bytes: Buffer, utf8: boolean, contentType: string): RedactedBody {
    if (!this.fields) return untouched
    const kind = kindOf(contentType)
    if (!utf8) return this.#binary(bytes, kind, contentType)
    // UTF-16 of plain characters is valid UTF-8 full of zeros.
    if (kind === 'json' && bytes.includes(0)) return notRedactable
    const named = this.#named ? this.#byName(bytes, kind) : untouched
    if (this.#detector === null || named.kind === 'not_redactable') return named
    const text = named.kind === 'text' ? named.text : bytes.toString('utf8')
    const detected =
      kind === 'form' ? this.#detector.parts(text, true) : this.#detector.text(text, kind === 'json')
    return detected === text ? named : { kind: 'text', text: detected }
  }

  #byName(bytes: Buffer, kind: BodyKind): RedactedBody {
    if (kind === 'form' || kind === 'multipart') return this.#pairs(bytes, kind)
    if (!this.#json.watch.finds(bytes)) return untouched
    const text = bytes.toString('utf8')
    return changed(text, this.#json.redact(text, kind === 'json'))
  }

  #pairs(bytes: Buffer, kind: 'form' | 'multipart'): RedactedBody {
    const text = bytes.toString('utf8')
    if (kind === 'multipart' && this.#form.hasField(text)) return notRedactable
    const pairs = kind === 'form' ? this.#form.pairs(text) : text
    // Many a client sends JSON and calls it a form, and a part of a multipart body may be JSON.
    return changed(text, this.#json.redact(pairs, false))
  }

  #binary(bytes: Buffer, kind: BodyKind, contentType: string): RedactedBody {
    if (kind === 'json' || kind === 'form') return notRedactable
    const text = bytes.toString('latin1')
    if (this.#json.holdsName(text)) return notRedactable
    if (kind === 'multipart' && this.#form.hasField(text)) return notRedactable
    // Text of another character set; in pictures and archives, finds would be chance.
    const isText = /text\/|xml|csv/i.test(contentType)
    return isText && this.#detector?.holds(text) === true ? notRedactable : untouched
  }
}

function changed(before: string, after: string | null): RedactedBody {
  if (after === null) return notRedactable
  return after === before ? untouched : { kind: 'text', text: after }
}

type BodyKind = 'json' | 'form' | 'multipart' | 'other'

/** Spellings of content types that are remembered: an API has a handful. */
const KINDS_MAX = 256
const kinds = new Map<string, BodyKind>()

function kindOf(contentType: string): BodyKind {
  const known = kinds.get(contentType)
  if (known !== undefined) return known
  const kind = readKind(contentType)
  if (kinds.size < KINDS_MAX && contentType.length < KINDS_MAX) kinds.set(contentType, kind)
  return kind
}

/** Generous on purpose: what says json anywhere in its type is held to be JSON. */
function readKind(contentType: string): BodyKind {
  const type = contentType.toLowerCase()
  if (type.includes('form-urlencoded')) return 'form'
  if (type.includes('multipart/')) return 'multipart'
  return type.includes('json') ? 'json' : 'other'
}
