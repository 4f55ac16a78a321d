/** Which tags a list shows, and in which order: filters, sorts and pages of `GET /api/tags`. */
import type { Tag, TaggableType, TagTable } from '../store/tags.ts'

export const tagOrders = ['title', 'assignment_count', 'updated_at', 'last_assigned_at'] as const
export type TagOrder = (typeof tagOrders)[number]

/** All filters hold together. */
export interface TagFilter {
  /** Text that title or description must hold, ignoring case. */
  readonly text?: string | undefined
  readonly handles?: readonly string[] | undefined
  readonly author?: number | undefined
  readonly onlyAssigned: boolean
  /** Type and id must be those of one assignment. */
  readonly taggable: { readonly types: readonly TaggableType[]; readonly id?: string | undefined } | null
}

export interface TagSort {
  readonly by: TagOrder
  readonly descending: boolean
}

export function matchingTags(table: TagTable, filter: TagFilter): Tag[] {
  const { author, taggable } = filter
  const text = filter.text?.toLowerCase()
  const handles = filter.handles === undefined ? null : new Set(filter.handles)
  return table.all().filter((tag) => {
    if (handles?.has(tag.handle) === false) return false
    if (author !== undefined && tag.author.id !== author) return false
    if (filter.onlyAssigned && tag.assignment_count === 0) return false
    if (text !== undefined && !holds(tag.title, text) && !holds(tag.description, text)) return false
    return taggable === null || isOn(table, tag, taggable)
  })
}

function holds(whole: string, lowered: string): boolean {
  return whole.toLowerCase().includes(lowered)
}

function isOn(table: TagTable, tag: Tag, { types, id }: NonNullable<TagFilter['taggable']>): boolean {
  if (tag.assignment_count === 0) return false
  return types.some((type) =>
    id === undefined ? table.isAssignedToType(tag.handle, type) : table.isAssigned(tag.handle, { type, id }),
  )
}

/** As people sort words: case and accents last. */
const collator = new Intl.Collator('en')

const orders: Readonly<Record<TagOrder, (a: Tag, b: Tag) => number>> = {
  title: (a, b) => collator.compare(a.title, b.title),
  assignment_count: (a, b) => a.assignment_count - b.assignment_count,
  updated_at: (a, b) => a.updated_at - b.updated_at,
  // What was never assigned counts as the longest ago.
  last_assigned_at: (a, b) => (a.last_assigned_at ?? 0) - (b.last_assigned_at ?? 0),
}

/** Sorts in place, the first order first; the title decides what they leave open: pages hold still. */
export function sortTags(tags: Tag[], sorts: readonly TagSort[]): Tag[] {
  const all = [...sorts, { by: 'title' as const, descending: false }]
  return tags.sort((a, b) => {
    for (const { by, descending } of all) {
      const order = orders[by](a, b)
      if (order !== 0) return descending ? -order : order
    }
    return a.handle < b.handle ? -1 : 1
  })
}
