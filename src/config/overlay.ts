/** Lays what the API defined over what the file says: one tree whose values know where they stand. */
import { type ApiResource, apiPlace, resourceKinds, resourceNouns } from '../contract/resources.ts'
import { limits } from '../contract/limits.ts'
import { nearest } from '../contract/nearest.ts'
import type { Finding, ParsedText } from './document.ts'
import { type Places, pointerTo } from './places.ts'
import { isSection } from './validate.ts'
import { show } from './wording.ts'

type Section = Record<string, unknown>

/** The key by which a mirror of the API attaches itself to collections, whoever defined them. */
const ATTACH = 'collections'

/** The text stays as it was; resources come after what the file has, in the order given. */
export function overlay(parsed: ParsedText, resources: readonly ApiResource[]): ParsedText {
  if (!isSection(parsed.value)) return parsed
  const over = new Overlay(parsed.value, parsed.places.copy())
  // Mirrors last: they attach themselves to collections.
  for (const kind of resourceKinds) {
    for (const resource of resources) if (resource.kind === kind) over.add(resource)
  }
  return {
    ...parsed,
    value: over.tree,
    places: over.places,
    findings: [...parsed.findings, ...over.findings],
  }
}

class Overlay {
  readonly tree: Section
  readonly places: Places
  readonly findings: Finding[] = []

  constructor(tree: Section, places: Places) {
    this.tree = { ...tree }
    this.places = places
    for (const kind of resourceKinds) this.tree[kind] = [...listOf(tree[kind])]
  }

  add(resource: ApiResource): void {
    const { kind, name, definition } = resource
    const list = this.tree[kind] as unknown[]
    const taken = list.findIndex((one) => isSection(one) && one['name'] === name)
    if (taken !== -1) {
      const other = `the API has a ${resourceNouns[kind]} of this name: delete one of the two`
      this.#find(`${pointerTo(`/${kind}`, taken)}/name`, `must be unique, got ${show(name)}, and ${other}`)
      return
    }
    const pointer = pointerTo(`/${kind}`, list.length)
    this.places.adopt(pointer, definition, apiPlace(resource))
    const { [ATTACH]: attached, ...own } = definition
    list.push(kind === 'mirrors' ? own : definition)
    if (kind === 'mirrors' && attached !== undefined) this.#attach(name, attached, pointerTo(pointer, ATTACH))
  }

  #attach(mirror: string, attached: unknown, pointer: string): void {
    if (!Array.isArray(attached)) {
      this.#find(pointer, `must be a list, got ${show(attached)}`)
      return
    }
    for (const [index, name] of attached.entries()) {
      const message = this.#attachOne(mirror, name)
      if (message !== null) this.#find(pointerTo(pointer, index), message)
    }
  }

  /** What is wrong with attaching a mirror to a collection; null when it is done. */
  #attachOne(mirror: string, collection: unknown): string | null {
    const collections = this.tree['collections'] as unknown[]
    const at = collections.findIndex((one) => isSection(one) && one['name'] === collection)
    const found = collections[at]
    if (!isSection(found)) {
      const known = collections.map((one) => (isSection(one) ? String(one['name']) : ''))
      const guess = typeof collection === 'string' ? nearest(collection, known) : undefined
      const hint = guess === undefined ? '' : `, did you mean "${guess}"?`
      return `must be the name of a collection, got ${show(collection)}${hint}`
    }
    const mirrors = listOf(found['mirrors'])
    if (mirrors.includes(mirror)) return null
    if (mirrors.length >= limits.mirrors_per_collection_max)
      return `must be a collection with fewer than ${limits.mirrors_per_collection_max} mirrors`
    // A copy: the file's own tree is used again for the next change.
    collections[at] = { ...found, mirrors: [...mirrors, mirror] }
    return null
  }

  #find(pointer: string, message: string): void {
    this.findings.push({ pointer, place: this.places.value(pointer), message })
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
