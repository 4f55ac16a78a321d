/** Entries of the activity log as systems around the gateway send them, and as the log answers them. */
import type { Static } from 'typebox'
import type { Activity, ChainedActivity, Json, NewActivity } from '../contract/activity.ts'
import { environments } from '../contract/environments.ts'
import { limits } from '../contract/limits.ts'
import type { Config } from '../config/schema.ts'
import { Type } from '../contract/schema.ts'
import type { SignedIn } from './auth.ts'
import { AdminError } from './errors.ts'
import { momentProblem, parseMoment, printedMoment } from './moments.ts'

const strict = { additionalProperties: false } as const
/** Fields beyond these are kept as they are. */
const open = { additionalProperties: true } as const

const words = (maxLength: number, description: string) =>
  Type.Optional(Type.String({ maxLength, description }))
const number = (description: string) =>
  Type.Integer({ minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER, description })
const typeName = (description: string) =>
  Type.String({
    minLength: 1,
    maxLength: limits.activity_type_chars_max,
    pattern: '^[\\w.:/-]+$',
    description,
  })

const EntryBody = Type.Object(
  {
    timestamp: words(64, 'When it happened, ISO 8601 with any offset; without one UTC. Default: now.'),
    event_type: typeName('Such as user_login.'),
    workspace: Type.Optional(
      Type.Object(
        {
          id: Type.Optional(number('Default: the workspace of this gateway.')),
          name: words(1000, 'Default: the workspace of this gateway.'),
          email: words(1000, 'Default: the workspace of this gateway.'),
          environment: Type.Optional(
            Type.Enum([...environments], {
              description: 'The environment of the client, which is the default.',
            }),
          ),
        },
        strict,
      ),
    ),
    user: Type.Object({ id: number('Who did it.'), name: words(1000, ''), email: words(1000, '') }, strict),
    details: Type.Optional(
      Type.Object(
        {
          request: Type.Optional(
            Type.Object({ ip_address: words(100, ''), user_agent: words(2000, '') }, strict),
          ),
          activity: words(1000, 'How it was done, such as password_login.'),
        },
        open,
      ),
    ),
    resource: Type.Object(
      {
        id: Type.Optional(
          Type.Unsafe<number | string | null>({ type: ['integer', 'string', 'null'], maxLength: 256 }),
        ),
        name: words(1000, 'What it is about.'),
        type: typeName('Such as Workspace.'),
      },
      open,
    ),
    portal_id: Type.Optional(
      Type.String({ minLength: 1, maxLength: 256, description: 'Kept as details.portal_id.' }),
    ),
  },
  strict,
)
type EntryBody = Static<typeof EntryBody>

/** One entry, or many at once. */
export const EntriesBody = Type.Union([
  EntryBody,
  Type.Array(EntryBody, { minItems: 1, maxItems: limits.activity_append_entries_max }),
])

const Person = Type.Object({ id: Type.Integer(), name: Type.String(), email: Type.String() })
const answered = {
  id: Type.Integer({ description: 'Ascending in the order of acceptance.' }),
  timestamp: Type.String({ description: 'Such as 2024-06-18 19:17:31 UTC.' }),
  event_type: Type.String(),
  workspace: Type.Object({ ...Person.properties, environment: Type.Enum([...environments]) }),
  user: Person,
  details: Type.Object(
    {
      request: Type.Optional(Type.Object({ ip_address: Type.String(), user_agent: Type.String() })),
      activity: Type.Optional(Type.String()),
    },
    open,
  ),
  resource: Type.Object(
    {
      id: Type.Union([Type.Integer(), Type.String(), Type.Null()]),
      name: Type.String(),
      type: Type.String(),
    },
    open,
  ),
}
export const ActivityShape = Type.Object(answered)
const hex = Type.String({ pattern: '^[0-9a-f]{64}$' })
export const ChainedShape = Type.Object({ ...answered, prev_hash: hex, hash: hex })

/** An entry as it is answered: a printed timestamp, and the path of a resource before its type. */
export function printed({ id, timestamp, event_type, workspace, user, details, resource }: Activity) {
  const { id: resourceId, name, path, type, ...others } = resource
  return {
    id,
    timestamp: printedMoment(timestamp),
    event_type,
    workspace,
    user,
    details,
    resource: { id: resourceId, name, ...(path === undefined ? {} : { path }), type, ...others },
  }
}

export function printedChained(entry: ChainedActivity) {
  return { ...printed(entry), prev_hash: entry.prev_hash, hash: entry.hash }
}

/** A body as entries; throws 400 that names every wrong field, 403 for an environment of others. */
export function newActivities(
  body: Static<typeof EntriesBody>,
  { workspace }: Config,
  client: SignedIn,
): NewActivity[] {
  assertShallow(body)
  const errors: Record<string, string[]> = {}
  const entries = [body].flat().map((entry, at) => {
    const timestamp = entry.timestamp === undefined ? null : parseMoment(entry.timestamp)
    if (entry.timestamp !== undefined && timestamp === null) {
      errors[Array.isArray(body) ? `[${at}].timestamp` : 'timestamp'] = [momentProblem(entry.timestamp)]
    }
    return { ...newActivity(entry, workspace, client), ...(timestamp && { timestamp: timestamp.first_ms }) }
  })
  const wrong = Object.entries(errors).slice(0, limits.admin_problems_max)
  if (wrong.length > 0)
    throw new AdminError(400, 'the request is not valid', { errors: Object.fromEntries(wrong) })
  return entries
}

function newActivity(entry: EntryBody, home: Config['workspace'], client: SignedIn): NewActivity {
  const { event_type, user, portal_id } = entry
  const { id = home.id, name = home.name, email = home.email, environment } = entry.workspace ?? {}
  if (environment !== undefined && environment !== client.environment) {
    const rule = `workspace.environment must be ${client.environment}, the one of this client`
    throw new AdminError(403, `${rule}, got ${environment}`)
  }
  const { request, ...details } = (entry.details ?? {}) as { request?: Record<string, string> } & Fields
  const resource = entry.resource as EntryBody['resource'] & Fields
  return {
    event_type,
    workspace: { id, name, email, environment: client.environment },
    user: { id: user.id, name: user.name ?? '', email: user.email ?? '' },
    details: {
      ...(request && {
        request: { ip_address: request['ip_address'] ?? '', user_agent: request['user_agent'] ?? '' },
      }),
      ...details,
      ...(portal_id !== undefined && { portal_id }),
    },
    resource: { ...resource, id: resource.id ?? null, name: resource.name ?? '' },
  }
}

type Fields = Readonly<Record<string, Json>>

/** Nesting is bounded here: whoever writes JSON again does it recursively. */
function assertShallow(body: unknown): void {
  let level: unknown[] = [body]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limits.activity_depth_max) {
      const errors = { body: [`must nest at most ${limits.activity_depth_max} deep`] }
      throw new AdminError(400, 'the request is not valid', { errors })
    }
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    )
  }
}
