/** Where each value of a configuration stands in its text, by JSON pointer (RFC 6901). */

/** 1-based. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Plain data of the same, for another thread. */
export interface PlainPlaces {
  readonly keys: ReadonlyMap<string, Place>
  readonly values: ReadonlyMap<string, Place>
  readonly elsewhere: ReadonlyMap<string, string>
}

const nowhere: Place = { line: 1, column: 1 }

export class Places {
  readonly #keys: Map<string, Place>
  readonly #values: Map<string, Place>
  /** What stands elsewhere than in the text, and what that place is called. */
  readonly #elsewhere: Map<string, string>

  constructor({ keys, values, elsewhere }: Partial<PlainPlaces> = {}) {
    this.#keys = new Map(keys)
    this.#values = new Map(values)
    this.#elsewhere = new Map(elsewhere)
  }

  copy(): Places {
    return new Places({ keys: this.#keys, values: this.#values })
  }

  plain(): PlainPlaces {
    return { keys: this.#keys, values: this.#values, elsewhere: this.#elsewhere }
  }

  /** Makes a whole value known that stands elsewhere, where no line can be named. */
  adopt(pointer: string, value: unknown, name: string): void {
    this.#elsewhere.set(pointer, name)
    const walk = (at: string, inner: unknown): void => {
      this.set(at, nowhere, nowhere)
      if (typeof inner !== 'object' || inner === null) return
      for (const [key, one] of Object.entries(inner)) walk(pointerTo(at, key), one)
    }
    walk(pointer, value)
  }

  /** The place elsewhere that a value belongs to, with its pointer there; null for one of the text. */
  elsewhere(pointer: string): { readonly name: string; readonly pointer: string } | null {
    for (let at = pointer; at !== ''; at = parentOf(at)) {
      const name = this.#elsewhere.get(at)
      if (name !== undefined) return { name, pointer: pointer.slice(at.length) }
    }
    return null
  }

  set(pointer: string, value: Place, key?: Place): void {
    this.#values.set(pointer, value)
    if (key !== undefined) this.#keys.set(pointer, key)
  }

  /** Whether the text has something there: defaults have no place. */
  has(pointer: string): boolean {
    return this.#values.has(pointer)
  }

  /** Place of a value, or of the nearest thing around it that the text has. */
  value(pointer: string): Place {
    for (let at = pointer; ; at = parentOf(at)) {
      const place = this.#values.get(at)
      if (place !== undefined) return at === pointer ? place : (this.#keys.get(at) ?? place)
      if (at === '') return { line: 1, column: 1 }
    }
  }

  /** Place of the key that leads to a value. */
  key(pointer: string): Place {
    return this.#keys.get(pointer) ?? this.value(pointer)
  }
}

export function parentOf(pointer: string): string {
  return pointer.slice(0, Math.max(0, pointer.lastIndexOf('/')))
}

export function pointerTo(parent: string, key: string | number): string {
  return `${parent}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** The keys of a pointer, outermost first. */
export function keysOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** `/mirrors/0/batch/max_wait_ms` → `mirrors[0].batch.max_wait_ms`. */
export function pathOf(pointer: string): string {
  return keysOf(pointer)
    .map((key, at) => {
      if (/^\d+$/.test(key)) return `[${key}]`
      if (!/^[A-Za-z0-9_-]+$/.test(key)) return `[${JSON.stringify(key)}]`
      return at === 0 ? key : `.${key}`
    })
    .join('')
}
