/** YAML text → plain data with the place of every value, and every problem of its syntax. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLParseError,
  type YAMLWarning,
} from 'yaml'
import { limits } from '../contract/limits.ts'
import { type Place, Places, pointerTo } from './places.ts'

/** A problem before it knows its file; `pointer` names the value. */
export interface Finding {
  readonly pointer: string
  readonly place: Place
  readonly message: string
  /** Whether the value there could not be read at all. */
  readonly lost?: boolean
}

export interface ParsedText {
  /** Undefined when nothing could be read. */
  readonly value: unknown
  readonly places: Places
  readonly findings: readonly Finding[]
  /** Where the text stops being YAML: what follows it was guessed. */
  readonly brokenAt: Place | null
}

/** What each error of the parser means; its own sentences may quote the text, which may hold secrets. */
const syntaxRules: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias must not have an anchor or a tag',
  BAD_ALIAS: 'anchors and aliases need a name, and a space before a colon',
  BAD_COLLECTION_TYPE: 'this tag does not fit this value',
  BAD_DIRECTIVE: 'this directive is not supported',
  BAD_DQ_ESCAPE:
    'a text in double quotes holds a backslash that escapes nothing, write \\\\ or use single quotes',
  BAD_INDENT: 'the indentation does not fit the lines around it',
  BAD_PROP_ORDER: 'anchors and tags must stand after the indicator',
  BAD_SCALAR_START: 'a text that begins with this character must stand in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a key and its value cannot begin another list or section on the same line',
  BLOCK_IN_FLOW: 'a list or section over several lines cannot stand between brackets',
  KEY_OVER_1024_CHARS: 'a key must be at most 1024 characters',
  MISSING_CHAR: 'a bracket, quote, comma, colon or space is missing, or the indentation is wrong',
  MULTILINE_IMPLICIT_KEY: 'a key must stand on one line and be followed by a colon',
  MULTIPLE_ANCHORS: 'a value can have only one anchor',
  MULTIPLE_DOCS: 'the file must hold one document, a second one begins here',
  MULTIPLE_TAGS: 'a value can have only one tag',
  RESOURCE_EXHAUSTION: 'the file is nested too deeply',
  TAB_AS_INDENT: 'indentation must be spaces, not tabs',
  TAG_RESOLVE_FAILED: 'custom tags are not supported',
  UNEXPECTED_TOKEN: 'this does not belong here, a quote or indentation is probably wrong',
}

export function parseText(text: string): ParsedText {
  const lines = new LineCounter()
  const document = readDocument(text, lines)
  if (document === null) {
    const place = { line: 1, column: 1 }
    const findings = [{ pointer: '', place, message: 'the file is nested too deeply' }]
    return { value: undefined, places: new Places(), findings, brokenAt: place }
  }
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const errors = firstErrors([...document.errors, ...document.warnings])
  const syntax = errors.map(({ pos, code }) => {
    const inBrackets = code === 'UNEXPECTED_TOKEN' && text.slice(pos[0] - 1, pos[0] + 1) === '${'
    const message = inBrackets ? referenceInBrackets : (syntaxRules[code] ?? 'this is not valid YAML')
    return { pointer: '', place: place(pos[0]), message }
  })
  const broken = errors.find(breaks)
  const reader = new Reader(place)
  const value = reader.read(document.contents)
  return {
    value: reader.bounded ? undefined : value,
    places: reader.places,
    findings: [...syntax, ...reader.findings],
    brokenAt: broken === undefined ? null : place(broken.pos[0]),
  }
}

const referenceInBrackets = 'a reference between brackets must stand in quotes'

/** Whether what follows an error is read as something else than what was meant. */
function breaks({ code }: YAMLParseError | YAMLWarning): boolean {
  return code !== 'TAG_RESOLVE_FAILED'
}

/** In the order of the text, without those that only follow from an earlier one. */
function firstErrors(errors: (YAMLParseError | YAMLWarning)[]): (YAMLParseError | YAMLWarning)[] {
  let broken = false
  return errors
    .sort((a, b) => a.pos[0] - b.pos[0])
    .filter((error) => {
      const follows = broken && consequences.has(error.code)
      broken ||= breaks(error)
      return !follows
    })
}

const consequences = new Set(['UNEXPECTED_TOKEN', 'MISSING_CHAR', 'BAD_INDENT', 'MULTILINE_IMPLICIT_KEY'])

/** Null when the text is nested so deeply that the parser gives up. */
function readDocument(text: string, lines: LineCounter): Document.Parsed | null {
  try {
    return parseDocument(text, {
      lineCounter: lines,
      // Its check compares every key with every other: ours keeps a set.
      uniqueKeys: false,
      prettyErrors: false,
      schema: 'core',
      resolveKnownTags: false,
    })
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

/** Walks the nodes once, in the order of the text, within bounds on depth, nodes and aliases. */
class Reader {
  readonly places = new Places()
  readonly findings: Finding[] = []
  readonly #place: (offset: number) => Place
  readonly #anchors = new Map<string, Node>()
  /** Nodes that hold the one being read. */
  readonly #open = new Set<Node>()
  #nodes = 0
  bounded = false

  constructor(place: (offset: number) => Place) {
    this.#place = place
  }

  read(node: Node | null): unknown {
    return node === null ? null : this.#node(node, '', undefined, 0)
  }

  #node(node: Node, pointer: string, key: Place | undefined, depth: number): unknown {
    const at = this.#place(node.range?.[0] ?? 0)
    this.places.set(pointer, at, key)
    this.#nodes++
    if (depth > limits.config_depth_max || this.#nodes > limits.config_values_max) {
      this.#refuse(at)
      return null
    }
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source)
      if (target !== undefined && !this.#open.has(target)) return this.#node(target, pointer, key, depth + 1)
      const message =
        target === undefined ? 'this alias has no anchor before it' : 'this alias stands for what holds it'
      this.findings.push({ pointer, place: at, message, lost: true })
      return null
    }
    if ('anchor' in node && typeof node.anchor === 'string') this.#anchors.set(node.anchor, node)
    if (isScalar(node)) return typeof node.value === 'bigint' ? Number(node.value) : node.value
    this.#open.add(node)
    const value = this.#collection(node, pointer, at, depth)
    this.#open.delete(node)
    return value
  }

  #collection(node: Node, pointer: string, at: Place, depth: number): unknown {
    if (isMap(node)) return this.#map(node.items as Pair<unknown, unknown>[], pointer, depth)
    if (!isSeq(node)) return null
    return node.items.map((item, index) => this.#item(item, pointerTo(pointer, index), at, depth))
  }

  #item(item: unknown, pointer: string, around: Place, depth: number): unknown {
    if (isNode(item)) return this.#node(item, pointer, undefined, depth + 1)
    this.places.set(pointer, around)
    return null
  }

  #map(pairs: readonly Pair<unknown, unknown>[], pointer: string, depth: number): Record<string, unknown> {
    const result: Record<string, unknown> = {}
    for (const { key, value } of pairs) {
      const place = this.#place(isNode(key) ? (key.range?.[0] ?? 0) : 0)
      if (!isScalar(key) || typeof key.value === 'object') {
        const message = 'keys must be text; a value that begins with { or [ needs quotes'
        this.findings.push({ pointer, place, message, lost: true })
        continue
      }
      const name = String(key.value)
      const child = pointerTo(pointer, name)
      if (Object.hasOwn(result, name)) {
        this.#find(child, place, `must stand only once, the first is on line ${this.places.key(child).line}`)
        continue
      }
      const plain = isNode(value) ? this.#node(value, child, place, depth + 1) : null
      if (!isNode(value)) this.places.set(child, place, place)
      // defineProperty, because assigning to `__proto__` would not make a key.
      Object.defineProperty(result, name, {
        value: plain,
        enumerable: true,
        writable: true,
        configurable: true,
      })
    }
    return result
  }

  #refuse(place: Place): void {
    if (this.bounded) return
    this.bounded = true
    const { config_depth_max: depth, config_values_max: values } = limits
    this.#find('', place, `the file must hold at most ${values} values, at most ${depth} levels deep`)
  }

  #find(pointer: string, place: Place, message: string): void {
    this.findings.push({ pointer, place, message })
  }
}

function isNode(value: unknown): value is Node {
  return isMap(value) || isSeq(value) || isScalar(value) || isAlias(value)
}
