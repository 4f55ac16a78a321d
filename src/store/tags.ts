/** Tags, and what bears them. The counts of a tag stand in its record, so that a list reads nothing else. */
import type { Database, RootDatabase } from 'lmdb'

export const tagColors = [
  'blue',
  'violet',
  'green',
  'red',
  'orange',
  'gold',
  'indigo',
  'brown',
  'teal',
  'plum',
  'slate',
  'neutral',
] as const
export type TagColor = (typeof tagColors)[number]

/** What a tag can be put on. The first four live elsewhere and are known by their numbers only. */
export const taggableTypes = [
  'recipe',
  'connection',
  'page',
  'data_table',
  'collection',
  'mirror',
  'stream',
] as const
export type TaggableType = (typeof taggableTypes)[number]

/** One thing that bears a tag; the id is a number's digits, or a name. */
export interface Taggable {
  readonly type: TaggableType
  readonly id: string
}

/** What people set of a tag; times in Unix milliseconds. */
export interface TagFields {
  readonly title: string
  readonly description: string
  readonly color: TagColor
  readonly created_at: number
  readonly updated_at: number
  readonly author: { readonly id: number; readonly name: string }
}

export interface Tag extends TagFields {
  readonly handle: string
  readonly assignment_count: number
  /** When it was last put on something; null = never. */
  readonly last_assigned_at: number | null
}

/** The fields of a tag; null deletes it with its assignments. */
interface TagFieldsCommand {
  type: 'tag'
  handle: string
  fields: TagFields | null
}

/** Puts a tag on something, at a time; null takes it off. Of an unknown tag it changes nothing. */
export interface TagAssignmentCommand {
  type: 'tag_assignment'
  handle: string
  taggable: Taggable
  at: number | null
}

export type TagCommand = TagFieldsCommand | TagAssignmentCommand

type AssignmentKey = [handle: string, type: string, id: string]

export class TagTable {
  readonly #tags: Database<Tag, string>
  /** Handle, type and id → when it was assigned. */
  readonly #assignments: Database<number, AssignmentKey>

  constructor(env: RootDatabase) {
    this.#tags = env.openDB({ name: 'tags' })
    this.#assignments = env.openDB({ name: 'tag_assignments' })
  }

  /** Inside a transaction of the store. */
  apply(command: TagCommand): void {
    if (command.type === 'tag') this.#applyFields(command)
    else this.#applyAssignment(command)
  }

  #applyFields({ handle, fields }: TagFieldsCommand): void {
    if (fields === null) {
      for (const key of [...this.#assignments.getKeys(rangeOf(handle))]) this.#assignments.remove(key)
      this.#tags.remove(handle)
      return
    }
    const { assignment_count = 0, last_assigned_at = null } = this.#tags.get(handle) ?? {}
    this.#tags.put(handle, { handle, ...fields, assignment_count, last_assigned_at })
  }

  #applyAssignment({ handle, taggable, at }: TagAssignmentCommand): void {
    const tag = this.#tags.get(handle)
    const key = keyOf(handle, taggable)
    // An assignment that holds already keeps its time; so applying a command twice changes nothing.
    if (tag === undefined || this.#assignments.doesExist(key) === (at !== null)) return
    const assignment_count = tag.assignment_count + (at === null ? -1 : 1)
    if (at === null) {
      this.#assignments.remove(key)
      this.#tags.put(handle, { ...tag, assignment_count })
    } else {
      this.#assignments.put(key, at)
      this.#tags.put(handle, { ...tag, assignment_count, last_assigned_at: at })
    }
  }

  get(handle: string): Tag | undefined {
    return this.#tags.get(handle)
  }

  /** All of them, by handle. */
  all(): Tag[] {
    return [...this.#tags.getRange()].map(({ value }) => value)
  }

  isAssigned(handle: string, taggable: Taggable): boolean {
    return this.#assignments.doesExist(keyOf(handle, taggable))
  }

  /** Ids of what bears a tag, of one type. */
  assigned(handle: string, type: TaggableType): string[] {
    return [...this.#assignments.getKeys(rangeOf(handle, type))].map(([, , id]) => id)
  }

  isAssignedToType(handle: string, type: TaggableType): boolean {
    return this.#assignments.getKeysCount({ ...rangeOf(handle, type), limit: 1 }) > 0
  }

  /** Assignments of all tags together. */
  assignments(): number {
    return (this.#assignments.getStats() as { entryCount: number }).entryCount
  }
}

function keyOf(handle: string, { type, id }: Taggable): AssignmentKey {
  return [handle, type, id]
}

/** All assignments of a tag, or those to one type; names hold nothing above `\uffff`. */
function rangeOf(handle: string, type?: TaggableType): { start: AssignmentKey; end: AssignmentKey } {
  if (type === undefined) return { start: [handle, '', ''], end: [handle, '\uffff', ''] }
  return { start: [handle, type, ''], end: [handle, type, '\uffff'] }
}
