/** Finds the values that JSON pointers name, in text that may be cut anywhere or hold many documents. */
import { limits } from '../contract/limits.ts'
import { type Edit, skipString, skipValue } from '../render/json-text.ts'

/** One step of the pointers: where each key or index leads. */
interface Step {
  readonly next: Map<string, Step>
  /** A pointer ends here. */
  wanted: boolean
}

interface Container {
  readonly object: boolean
  /** Null where no pointer leads. */
  readonly step: Step | null
  index: number
  /** Of the member at hand: where its key begins, where it leads, and whether its colon was seen. */
  keyAt: number
  member: Step | null
  valued: boolean
}

/** Follows every document of a text from its root. */
export class PointerWalk {
  readonly #root: Step = { next: new Map(), wanted: false }
  /** A key of each pointer, without which it cannot match; the empty name where there is none. */
  readonly watched: readonly string[]

  constructor(pointers: readonly string[]) {
    const watched: string[] = []
    for (const pointer of pointers) {
      // RFC 6901 §4: ~1 is a slash, ~0 a tilde, in this order.
      const steps = pointer
        .slice(1)
        .split('/')
        .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
      let at = this.#root
      for (const name of steps) {
        let next = at.next.get(name)
        if (next === undefined) {
          next = { next: new Map(), wanted: false }
          at.next.set(name, next)
        }
        at = next
      }
      at.wanted = true
      watched.push(steps.findLast((name) => !/^\d+$/.test(name)) ?? '')
    }
    this.watched = watched
  }

  /** In the order of the text; null when it nests too deep or its brackets do not fit. */
  edits(text: string): Edit[] | null {
    const edits: Edit[] = []
    const open: Container[] = []
    let at = 0
    while (at < text.length) {
      const character = text[at] as string
      const inside = open.at(-1)
      if (character === ',' || character === ':') {
        if (inside !== undefined) separate(inside, character)
        at++
      } else if (character === '}' || character === ']') {
        if (inside !== undefined && inside.object !== (character === '}')) return null
        open.pop()
        at++
      } else if (character.trim() === '') {
        at++
      } else if (inside?.object === true && !inside.valued && character === '"') {
        at = readKey(text, at, inside)
      } else {
        const step = inside === undefined ? this.#root : stepOf(inside)
        if (step?.wanted === true) {
          const end = skipValue(text, at)
          edits.push({ start: inside?.object === true ? inside.keyAt : at, value: at, end })
          at = end
        } else if (character === '{' || character === '[') {
          if (open.length === limits.json_depth_max) return null
          open.push({ object: character === '{', step, index: 0, keyAt: at, member: null, valued: false })
          at++
        } else at = Math.max(skipScalar(text, at), at + 1)
      }
    }
    return edits
  }
}

function separate(container: Container, character: string): void {
  container.valued = character === ':'
  if (character === ',') container.index++
}

function stepOf(container: Container): Step | null {
  if (container.object) return container.valued ? container.member : null
  return container.step?.next.get(String(container.index)) ?? null
}

function readKey(text: string, at: number, container: Container): number {
  const end = skipString(text, at)
  container.keyAt = at
  container.member =
    container.step === null ? null : (container.step.next.get(keyOf(text.slice(at, end))) ?? null)
  return end
}

function keyOf(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1)
  try {
    return String(JSON.parse(quoted))
  } catch {
    return quoted.slice(1, -1)
  }
}

/** A string, or the run of characters up to the next one that means something. */
function skipScalar(text: string, from: number): number {
  if (text[from] === '"') return skipString(text, from)
  let at = from
  while (at < text.length && !'"{}[],:\n'.includes(text[at] as string)) at++
  return at
}
