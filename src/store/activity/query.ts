/** Which entries match a filter: one bitmap per block, made from the index alone. */
import type { ActivityFilter } from '../../contract/activity.ts'
import type { EnvironmentName } from '../../contract/environments.ts'
import {
  type Bitmap,
  BLOCK_ENTRIES,
  clip,
  intersect,
  keepTimes,
  newBitmap,
  size,
  subtract,
} from './bitmap.ts'
import type { Block, FieldName, FieldValues } from './block.ts'
import { folded } from './format.ts'

/** A filter with its values as the index has them. */
export interface Query {
  readonly environment: EnvironmentName
  readonly from: number
  readonly to: number
  readonly include: FieldValues
  readonly exclude: FieldValues
  /** Entries above, and up to: what stood when the query began. */
  readonly above: number
  readonly upTo: number
}

type Values = readonly (string | number)[] | undefined

function conditions(...wanted: readonly (readonly [FieldName, Values])[]): FieldValues {
  return wanted.flatMap(([field, values]) =>
    values === undefined
      ? []
      : [[field, [...new Set(values.map((value) => folded(String(value))))]] as const],
  )
}

export function queryOf(filter: ActivityFilter, above: number, upTo: number): Query {
  return {
    environment: filter.environment,
    from: filter.from ?? -Infinity,
    to: filter.to ?? Infinity,
    include: conditions(
      ['user', filter.users],
      ['event_type', filter.includeEventTypes],
      ['resource_type', filter.includeResourceTypes],
    ),
    exclude: conditions(
      ['event_type', filter.excludeEventTypes],
      ['resource_type', filter.excludeResourceTypes],
    ),
    above,
    upTo,
  }
}

/** Whether the block may hold a match at all. */
export function mayMatch(query: Query, { number, summary }: Block): boolean {
  const first = number * BLOCK_ENTRIES
  return (
    summary.counts[query.environment] !== undefined &&
    first <= query.upTo &&
    first + BLOCK_ENTRIES - 1 > query.above &&
    summary.max >= query.from &&
    summary.min <= query.to
  )
}

/** The number of matches where the summary of the block says it already, otherwise null. */
export function plainCount(query: Query, { number, summary }: Block): number | null {
  const first = number * BLOCK_ENTRIES
  const whole =
    query.include.length === 0 &&
    query.exclude.length === 0 &&
    first > query.above &&
    first + BLOCK_ENTRIES - 1 <= query.upTo &&
    summary.min >= query.from &&
    summary.max <= query.to
  return whole ? (summary.counts[query.environment] ?? 0) : null
}

/** Fields and values whose positions `matchesIn` asks for. */
export const fieldsOf = ({ environment, include, exclude }: Query): FieldValues => [
  ['environment', [environment]],
  ...include,
  ...exclude,
]

/** Whether the times of the block's entries must be compared one by one. */
export const comparesTimes = (query: Query, { summary }: Block): boolean =>
  summary.min < query.from || summary.max > query.to

const any = newBitmap()

/** Valid until it is asked again. */
function positionsOfAny(block: Block, field: FieldName, values: readonly string[]): Bitmap {
  any.fill(0)
  for (const value of values) block.addTo(any, field, value)
  return any
}

/** Positions of the block's matches. */
export function matchesIn(query: Query, block: Block): Bitmap {
  const found = newBitmap()
  block.addTo(found, 'environment', query.environment)
  const first = block.number * BLOCK_ENTRIES
  const [from, to] = [query.above + 1 - first, query.upTo - first]
  if (from > 0 || to < BLOCK_ENTRIES - 1) clip(found, Math.max(0, from), Math.min(BLOCK_ENTRIES - 1, to))
  for (const [field, values] of query.include) intersect(found, positionsOfAny(block, field, values))
  for (const [field, values] of query.exclude) subtract(found, positionsOfAny(block, field, values))
  // Times are read only where the index left something to compare.
  if (comparesTimes(query, block) && size(found) > 0) keepTimes(found, block.times(), query.from, query.to)
  return found
}
