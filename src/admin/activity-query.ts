/** Queries of the activity log: their parameters, and the filter that they stand for. */
import type { Static } from 'typebox'
import type { ActivityFilter, ActivityPage } from '../contract/activity.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import { AdminError } from './errors.ts'
import { type Moment, momentProblem, parseMoment } from './moments.ts'

const types = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: limits.activity_type_chars_max }), {
      maxItems: limits.activity_filter_values_max,
      description,
    }),
  )
const moment = (description: string) => Type.Optional(Type.String({ maxLength: 64, description }))

const filterFields = {
  from: moment('Start of the time range, ISO 8601, inclusive; a date alone is the start of that day.'),
  to: moment('End of the time range, ISO 8601, inclusive; a date alone is the end of that day.'),
  'users_ids[]': Type.Optional(
    Type.Array(Type.Integer(), {
      maxItems: limits.activity_filter_values_max,
      description: 'Only activities of these users.',
    }),
  ),
  'include_resource_types[]': types('Only activities on these types of resources; their case is ignored.'),
  'exclude_resource_types[]': types('No activities on these types of resources.'),
  'include_event_types[]': types('Only activities of these types; their case is ignored.'),
  'exclude_event_types[]': types('No activities of these types.'),
  q: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: limits.activity_query_chars_max,
      description:
        'Only entries that hold this text; its case is ignored. Pages and counts with it may take ' +
        `${limits.activity_search_ms} ms (422 says so), ${limits.activity_searches_max} of them at a time ` +
        '(429); an export takes as long as it needs.',
    }),
  ),
}

const size = Type.Integer({
  minimum: 1,
  maximum: limits.activity_page_max,
  default: limits.activity_page_max,
  description: 'Entries of one page.',
})

const strict = { additionalProperties: false } as const

export const ListQuery = Type.Object(
  {
    'page[after]': Type.Optional(
      Type.Integer({ minimum: 0, description: 'Id of the last entry of the page before.' }),
    ),
    'page[size]': Type.Optional(size),
    ...filterFields,
    order: Type.Optional(
      Type.Enum(['desc', 'asc'], { default: 'desc', description: 'Newest or oldest first, by id.' }),
    ),
  },
  strict,
)

export const FilterQuery = Type.Object(filterFields, strict)

export const ExportQuery = Type.Object(
  {
    format: Type.Optional(Type.Enum(['ndjson', 'csv'], { default: 'ndjson' })),
    ...filterFields,
  },
  strict,
)

/** What a query selects of the log of one environment; throws 400 that names every wrong date. */
export function filterOf(query: Static<typeof FilterQuery>, environment: EnvironmentName): ActivityFilter {
  const errors: Record<string, string[]> = {}
  const momentOf = (name: 'from' | 'to'): Moment | null => {
    const text = query[name]
    const found = text === undefined ? null : parseMoment(text)
    if (text !== undefined && found === null) errors[name] = [momentProblem(text)]
    return found
  }
  const [from, to] = [momentOf('from'), momentOf('to')]
  if (from !== null && to !== null && from.first_ms > to.last_ms) {
    errors['from'] = [`must not be after to (${query.to}), got ${JSON.stringify(query.from)}`]
  }
  if (Object.keys(errors).length > 0) throw new AdminError(400, 'the request is not valid', { errors })
  return {
    environment,
    ...(from === null ? {} : { from: from.first_ms }),
    ...(to === null ? {} : { to: to.last_ms }),
    ...listed('users', query['users_ids[]']),
    ...listed('includeResourceTypes', query['include_resource_types[]']),
    ...listed('excludeResourceTypes', query['exclude_resource_types[]']),
    ...listed('includeEventTypes', query['include_event_types[]']),
    ...listed('excludeEventTypes', query['exclude_event_types[]']),
    ...(query.q === undefined ? {} : { text: query.q }),
  }
}

function listed<Name extends string, Value>(
  name: Name,
  values: Value[] | undefined,
): { readonly [key in Name]?: readonly Value[] } {
  return values === undefined ? {} : ({ [name]: [...new Set(values)] } as { [key in Name]: Value[] })
}

export function pageOf(query: Static<typeof ListQuery>, environment: EnvironmentName): ActivityPage {
  const after = query['page[after]']
  return {
    ...filterOf(query, environment),
    size: query['page[size]'] ?? limits.activity_page_max,
    order: query.order ?? 'desc',
    ...(after === undefined ? {} : { after }),
  }
}
