/** The activity log as Konnect's `GET /v3/audit-logs` has it. */
import type { ActivityFilter } from '../../contract/activity.ts'
import { limits } from '../../contract/limits.ts'
import type { Static } from 'typebox'
import { Type } from '../../contract/schema.ts'
import { activityTypes } from '../../contract/stream-events.ts'
import { konnectLine } from '../../render/konnect.ts'
import { answer, type AdminApp, type AdminContext } from '../app.ts'
import { AdminError } from '../errors.ts'
import { momentProblem, parseMoment } from '../moments.ts'

const types = ['authorization', 'authentication', 'gateway_access'] as const

const Query = Type.Object(
  {
    'page[size]': Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default 20.' })),
    'page[after]': Type.Optional(Type.String({ description: 'What `next` of the page before said.' })),
    'filter[ts][gte]': Type.Optional(Type.String({ description: 'Default: seven days ago.' })),
    'filter[ts][lte]': Type.Optional(Type.String({ description: 'Default: now.' })),
    'filter[type]': Type.Optional(Type.Enum([...types])),
  },
  { additionalProperties: false },
)
const cursor = Type.Unsafe<string | null>({ type: ['string', 'null'] })
const Page = Type.Object({
  data: Type.Array(
    Type.Object({ type: Type.Enum([...types]), ts: Type.String() }, { additionalProperties: true }),
  ),
  meta: Type.Object({
    page: Type.Object({ next: cursor, previous: cursor, size: Type.Integer() }),
  }),
})

export function addAuditLogs(app: AdminApp, { activity, commands }: AdminContext): void {
  app.get(
    '/v3/audit-logs',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['audit webhooks'],
        summary: 'The audit log, newest first',
        querystring: Query,
        response: { 200: answer(Page, 'One page of it.') },
      },
    },
    async (request) => {
      const { query, signedIn } = request
      const size = query['page[size]'] ?? 20
      const after = cursorOf(query['page[after]'])
      const environment = signedIn?.environment ?? commands.config().environment
      // Requests are captured, and streamed: the log holds none.
      if (query['filter[type]'] === 'gateway_access')
        return { data: [], meta: { page: { next: null, previous: null, size } } }
      const page = { ...filterOf(query), environment, size, order: 'desc' as const }
      const { data } = await activity.page({ ...page, ...(after !== null && { after }) })
      const last = data.length === size ? data.at(-1) : undefined
      const organizationId = String(commands.config().workspace.id)
      return {
        data: data.map((entry) => shown(JSON.stringify({ ...entry, ts: entry.timestamp }), organizationId)),
        meta: { page: { next: last === undefined ? null : String(last.id), previous: null, size } },
      }
    },
  )
}

function cursorOf(text: string | undefined): number | null {
  if (text === undefined) return null
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new AdminError(400, 'the request is not valid', { errors: { 'page[after]': ['is no cursor'] } })
}

function filterOf(query: Static<typeof Query>): Omit<ActivityFilter, 'environment'> {
  const now = Date.now()
  const at = (
    field: 'filter[ts][gte]' | 'filter[ts][lte]',
    otherwise: number,
    end: 'first_ms' | 'last_ms',
  ) => {
    const text = query[field]
    if (text === undefined) return otherwise
    const found = parseMoment(text)?.[end]
    if (found !== undefined) return found
    const errors = { [field]: [momentProblem(text.slice(0, 64))] }
    throw new AdminError(400, 'the request is not valid', { errors })
  }
  const signIns = activityTypes(['authentication']) ?? []
  const type = query['filter[type]']
  return {
    from: at('filter[ts][gte]', now - limits.audit_replay_ms_max, 'first_ms'),
    to: at('filter[ts][lte]', now, 'last_ms'),
    ...(type === 'authentication' && { includeEventTypes: signIns }),
    ...(type === 'authorization' && { excludeEventTypes: signIns }),
  }
}

/** The names that this list has for what lines call otherwise. */
function shown(event: string, organizationId: string): Static<typeof Page>['data'][number] {
  const entry = JSON.parse(konnectLine(event, { format: 'json', organizationId })) as Record<string, unknown>
  const { event_ts, event_class_id, name, src, org_id, principal_id, trace_id, user_agent, portal_id } = entry
  const signIn = String(event_class_id).startsWith('AUTHENTICATION_TYPE_')
  return {
    type: signIn ? 'authentication' : 'authorization',
    ts: String(event_ts),
    ...{ org_id, principal_id, trace_id, user_agent, client_ip: src },
    ...(portal_id !== undefined && { portal_id }),
    ...(signIn
      ? {
          uri: entry['request'],
          successful: entry['success'],
          outcome: String(name).replace('AUTHENTICATION_OUTCOME_', '').toLowerCase(),
          authentication_type: String(event_class_id).replace('AUTHENTICATION_TYPE_', '').toLowerCase(),
        }
      : {
          service: event_class_id,
          resource: String(name).replace('Authz.', ''),
          action: entry['action'],
          granted: entry['granted'],
        }),
  }
}
