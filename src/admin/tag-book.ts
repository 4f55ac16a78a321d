/** What people do to tags: checked against what is there, written in one transaction, told to the mirrors. */
import { randomInt } from 'node:crypto'
import type { Actor, AuditTrail, Happening } from '../contract/audit-trail.ts'
import { limits } from '../contract/limits.ts'
import type { Store } from '../store/store.ts'
import {
  type Tag,
  type Taggable,
  type TagAssignmentCommand,
  type TagColor,
  type TagCommand,
  tagColors,
} from '../store/tags.ts'
import type { Commands } from './commands.ts'
import { AdminError, type FieldErrors } from './errors.ts'

export interface TagChanges {
  readonly title: string
  readonly description?: string
  readonly color?: TagColor
}

export interface TagAssignment {
  readonly add: readonly string[]
  readonly remove: readonly string[]
  readonly targets: readonly Taggable[]
}

const handleCharacters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Like `tag-ANgdXgTF-bANz3H`: 83 bits by chance, so that none is ever given twice. */
function newHandle(): string {
  const draw = (count: number): string =>
    Array.from({ length: count }, () => handleCharacters[randomInt(handleCharacters.length)]).join('')
  return `tag-${draw(8)}-${draw(6)}`
}

/** Titles that people would take for the same. */
function sameTitle(title: string): string {
  return title.normalize('NFC').trim().toLowerCase()
}

function unknownTag(handle: string): AdminError {
  return new AdminError(404, `no tag has this handle, got ${JSON.stringify(handle)}`)
}

type Texts = Pick<Tag, 'title' | 'description' | 'color'>

/** The fields that differ, before and after. */
function changesOf(before: Texts, after: Texts): { path: string; from: string; to: string }[] {
  const fields = ['title', 'description', 'color'] as const
  const changed = fields.filter((field) => before[field] !== after[field])
  return changed.map((field) => ({ path: field, from: before[field], to: after[field] }))
}

/** RFC 9110 §15.5.21: understood, but it cannot be done. */
function unprocessable(message: string, errors: FieldErrors): AdminError {
  return new AdminError(422, message, { errors })
}

interface TagBookParts {
  readonly store: Store
  readonly commands: Commands
  readonly trail: AuditTrail
}

export class TagBook {
  readonly #store: Store
  readonly #commands: Commands
  readonly #trail: AuditTrail
  /** Checks and writes of one change at a time: another one between them would make the checks void. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor({ store, commands, trail }: TagBookParts) {
    this.#store = store
    this.#commands = commands
    this.#trail = trail
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  /** A change and the entries that tell of it are there together, or not at all. */
  #apply(commands: readonly TagCommand[], happenings: readonly Happening[]): Promise<void> {
    return this.#store.apply(commands, this.#trail.entries(...happenings))
  }

  #known(handle: string): Tag {
    const tag = this.#store.tags.get(handle)
    if (tag === undefined) throw unknownTag(handle)
    return tag
  }

  #assertFree(title: string, tags: readonly Tag[], handle?: string): void {
    const wanted = sameTitle(title)
    const other = tags.find((tag) => tag.handle !== handle && sameTitle(tag.title) === wanted)
    if (other === undefined) return
    const rule = `must be unique whatever its case, ${other.handle} has it`
    throw new AdminError(409, 'another tag has this title', { errors: { title: [rule] } })
  }

  create(changes: TagChanges, actor: Actor): Promise<Tag> {
    return this.#inTurn(async () => {
      const tags = this.#store.tags.all()
      this.#assertFree(changes.title, tags)
      if (tags.length >= limits.tags_max) {
        throw unprocessable(`there must be at most ${limits.tags_max} tags, got one more`, {})
      }
      const { title, description = '', color = tagColors[randomInt(tagColors.length)] as TagColor } = changes
      const now = Date.now()
      const author = { id: actor.id, name: actor.name }
      const fields = { title, description, color, created_at: now, updated_at: now, author }
      const handle = newHandle()
      const resource = { id: handle, name: title }
      const happening: Happening = { event: 'tag_created', actor, resource, details: { description, color } }
      await this.#apply([{ type: 'tag', handle, fields }], [happening])
      return this.#known(handle)
    })
  }

  update(handle: string, changes: TagChanges, actor: Actor): Promise<Tag> {
    return this.#inTurn(async () => {
      const before = this.#known(handle)
      this.#assertFree(changes.title, this.#store.tags.all(), handle)
      const { title, description, color, created_at, author } = { ...before, ...changes }
      const fields = { title, description, color, created_at, updated_at: Date.now(), author }
      const details = { changes: changesOf(before, { title, description, color }) }
      const resource = { id: handle, name: title }
      await this.#apply(
        [{ type: 'tag', handle, fields }],
        [{ event: 'tag_updated', actor, resource, details }],
      )
      return this.#known(handle)
    })
  }

  delete(handle: string, actor: Actor): Promise<void> {
    return this.#inTurn(async () => {
      const { title: name, assignment_count } = this.#known(handle)
      const happening: Happening = {
        event: 'tag_deleted',
        actor,
        resource: { id: handle, name },
        details: { assignment_count },
      }
      await this.#apply([{ type: 'tag', handle, fields: null }], [happening])
      await this.#commands.followTags([handle])
    })
  }

  assign(assignment: TagAssignment, actor: Actor): Promise<void> {
    return this.#inTurn(async () => {
      const { add, remove, targets } = assignment
      for (const handle of [...add, ...remove]) this.#known(handle)
      if (add.length > 0) this.#assertTargets(targets)
      const added = this.#changes(add, targets, Date.now())
      const removed = this.#changes(remove, targets, null)
      if (this.#store.tags.assignments() + added.length > limits.tag_assignments_max) {
        const rule = `there must be at most ${limits.tag_assignments_max} assignments of tags`
        throw unprocessable(`${rule}, got ${added.length} more`, {})
      }
      const changes = [...added, ...removed]
      if (changes.length === 0) return
      await this.#apply(changes, this.#happenings(changes, actor))
      const moved = changes.filter(({ taggable }) => taggable.type === 'collection')
      if (moved.length > 0) await this.#commands.followTags(moved.map(({ handle }) => handle))
    })
  }

  /** What is not so already. */
  #changes(handles: readonly string[], targets: readonly Taggable[], at: number | null) {
    return handles.flatMap((handle) =>
      targets
        .filter((taggable) => this.#store.tags.isAssigned(handle, taggable) === (at === null))
        .map((taggable): TagAssignmentCommand => ({ type: 'tag_assignment', handle, taggable, at })),
    )
  }

  /** One for each tag. */
  #happenings(changes: readonly TagAssignmentCommand[], actor: Actor): Happening[] {
    return [...Map.groupBy(changes, ({ handle }) => handle)].map(([handle, own]) => ({
      event: 'tags_assigned',
      actor,
      resource: { id: handle, name: this.#known(handle).title },
      details: {
        change: own[0]?.at === null ? 'removed' : 'added',
        count: own.length,
        targets: own
          .slice(0, limits.activity_changes_max)
          .map(({ taggable }) => ({ type: taggable.type, id: taggable.id })),
      },
    }))
  }

  /** What the gateway knows by name must exist; a tag is taken off what is gone as well. */
  #assertTargets(targets: readonly Taggable[]): void {
    const { collections, mirrors, streams } = this.#commands.config()
    const errors: Record<string, string[]> = {}
    const check = (type: string, kind: string, known: readonly { readonly name: string }[]): void => {
      const names = new Set(known.map(({ name }) => name))
      const missing = targets.filter((target) => target.type === type && !names.has(target.id))
      if (missing.length === 0) return
      errors[`${type}s`] = missing
        .slice(0, limits.admin_problems_max)
        .map(({ id }) => `must be the name of ${kind}, got ${JSON.stringify(id)}`)
    }
    check('collection', 'a collection', collections)
    check('mirror', 'a mirror', mirrors)
    check('stream', 'a stream', streams)
    if (Object.keys(errors).length > 0) throw unprocessable('what is to be tagged must exist', errors)
  }
}
