/** Where a webhook is managed, and what all routes of it have in common. */
import type { Static } from 'typebox'
import { Type } from '../../contract/schema.ts'
import { AdminError } from '../errors.ts'
import { organization } from './book.ts'

export const unconfigured = 'unconfigured'

const PortalParams = Type.Object({ portalId: Type.String({ maxLength: 64 }) })
type Params = Static<typeof PortalParams> | Record<string, never>

/** One place where a webhook is managed. */
export interface Place {
  readonly path: string
  readonly replayPath: string
  readonly params: typeof PortalParams | null
}

const portals = '/portals/:portalId'
export const places = (version: string): Place[] => [
  { path: `/${version}/audit-log-webhook`, replayPath: `/${version}/audit-log-replay-job`, params: null },
  {
    path: `/${version}${portals}/audit-log-webhook`,
    replayPath: `/${version}${portals}/audit-log-replay-job`,
    params: PortalParams,
  },
]

export const withParams = ({ params }: Place) => (params === null ? {} : { params })

/** The webhook that a request means. */
export function scopeOf(params: unknown): string {
  const { portalId } = params as Params
  if (portalId === undefined) return organization
  const scope = portalId.toLowerCase()
  if (scope !== organization && /^[A-Za-z0-9][A-Za-z0-9-]{0,40}$/.test(portalId)) return scope
  const reason = scope === organization ? `must not be ${organization}, got ${portalId}` : 'format is invalid'
  throw new AdminError(400, 'could not parse portal id', { errors: { portalId: [reason] } })
}
