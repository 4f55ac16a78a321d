/**
 * Lines of Konnect's audit webhooks, as its receivers expect them: sign-ins (authn), changes (authz) and
 * requests (access), in CEF, JSON or CPS, signed with Ed25519.
 */
import { cefLine, cefPair, type CefPair } from './cef.ts'
import { type Fields, fieldsOf, httpStatusOf, secondsText, textOf, timeOf, typeOf } from './event-fields.ts'

/** Returns the signature of the bytes of a line without its `sig`. */
export type Signer = (line: Buffer) => Buffer

export interface KonnectPlan {
  readonly format: 'json' | 'cef' | 'cps'
  readonly organizationId: string
}

/** What differs between the three kinds of entries. */
interface Kind {
  readonly classId: string
  readonly name: string
  readonly severity: number
  /** Behind `rt` and `src`, and behind the common ones. */
  readonly first: readonly CefPair[]
  readonly last: readonly CefPair[]
}

const VENDOR = 'KongInc'
const VERSION = '1.0'

/**
 * One line without a newline. The signature covers the line without ` sig=…` (CEF), and the entry's JSON
 * with sorted keys and without `,"sig":"…"` (JSON and CPS alike).
 */
export function konnectLine(event: string, plan: KonnectPlan, signer?: Signer): string {
  const fields = fieldsOf(event)
  const at = timeOf(fields)
  const kind = kindOf(fields)
  const product = textOf(fields, 'details.portal_id', 'portal_id') === undefined ? 'Konnect' : 'Dev-Portal'
  const pairs = [...pairsOf(fields, at, kind, plan)]
  const { classId, name, severity } = kind
  if (plan.format === 'cef') {
    const device = [VENDOR, product, VERSION] as const
    const line = `${secondsText(at)} konghq.com ${cefLine({ device, classId, name, severity, pairs })}`
    return signer === undefined ? line : `${line} ${cefPair(['sig', signed(line, signer)])}`
  }
  const entry = {
    ...Object.fromEntries(pairs),
    rt: String(at),
    cef_version: 0,
    event_class_id: classId,
    event_product: product,
    event_ts: secondsText(at),
    event_vendor: VENDOR,
    event_version: VERSION,
    name,
    severity,
  }
  const sorted = JSON.stringify(
    Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1))),
  )
  const line = signer === undefined ? sorted : `${sorted.slice(0, -1)},"sig":"${signed(sorted, signer)}"}`
  return plan.format === 'cps' ? `{"event":${line}}` : line
}

function signed(line: string, signer: Signer): string {
  return signer(Buffer.from(line)).toString('base64url')
}

function pairsOf(fields: Fields, at: number, kind: Kind, plan: KonnectPlan): CefPair[] {
  const portal = textOf(fields, 'details.portal_id', 'portal_id')
  return [
    ['rt', at],
    ['src', textOf(fields, 'details.request.ip_address', 'client.ip', 'ip') ?? ''],
    ...kind.first,
    ['org_id', textOf(fields, 'details.org_id') ?? plan.organizationId],
    ...(portal === undefined ? [] : [['portal_id', portal] as const]),
    ['principal_id', textOf(fields, 'details.principal_id', 'user.id', 'client') ?? ''],
    ['trace_id', textOf(fields, 'details.trace_id', 'trace_id', 'request_id', 'id') ?? ''],
    ['user_agent', textOf(fields, 'details.request.user_agent', 'user_agent') ?? ''],
    ...kind.last,
  ]
}

function kindOf(fields: Fields): Kind {
  const type = typeOf(fields)
  if (/^user_log(?:in|out)|^client_locked_out$/.test(type)) return signIn(fields, type)
  const requested = textOf(fields, 'method', 'request.method') !== undefined
  return requested && httpStatusOf(fields) !== undefined ? access(fields) : change(fields, type)
}

const outcomes = {
  SUCCESS: 0,
  NOT_FOUND: 1,
  INVALID_PASSWORD: 1,
  TOKEN_EXPIRED: 1,
  LOCKED: 6,
  DISABLED: 6,
  INVALID: 7,
} as const
type SignInOutcome = keyof typeof outcomes
const credentials = ['BASIC', 'SSO', 'PAT', 'SPAT', 'GOOGLE', 'GITHUB', 'WINDOWSLIVE', 'FEDERATED'] as const

/** How entries of the activity log call what was signed in with. */
const activities: Readonly<Record<string, (typeof credentials)[number]>> = {
  password_login: 'BASIC',
  session_login: 'PAT',
  token_login: 'PAT',
  sso_login: 'SSO',
}

function signIn(fields: Fields, type: string): Kind {
  const outcome = signInOutcome(fields, type)
  const stated = lastWord(textOf(fields, 'details.authentication_type'), 'AUTHENTICATION_TYPE_')
  const activity = textOf(fields, 'details.activity') ?? ''
  const credential =
    credentials.find((name) => name === stated) ??
    (Object.hasOwn(activities, activity) ? activities[activity] : undefined) ??
    'BASIC'
  return {
    classId: `AUTHENTICATION_TYPE_${credential}`,
    name: `AUTHENTICATION_OUTCOME_${outcome}`,
    severity: outcomes[outcome],
    first: [
      ['request', textOf(fields, 'details.request.path', 'details.path') ?? ''],
      ['success', outcome === 'SUCCESS'],
    ],
    last: [],
  }
}

function signInOutcome(fields: Fields, type: string): SignInOutcome {
  const stated = lastWord(textOf(fields, 'details.outcome'), 'AUTHENTICATION_OUTCOME_')
  if (Object.hasOwn(outcomes, stated)) return stated as SignInOutcome
  if (type === 'client_locked_out') return 'LOCKED'
  const failed = type.endsWith('_failed') || textOf(fields, 'details.success') === 'false'
  return failed ? 'INVALID_PASSWORD' : 'SUCCESS'
}

function lastWord(stated: string | undefined, prefix: string): string {
  const upper = stated?.toUpperCase() ?? ''
  return upper.startsWith(prefix) ? upper.slice(prefix.length) : upper
}

const actions: Readonly<Record<string, string>> = {
  created: 'create',
  updated: 'update',
  changed: 'update',
  deleted: 'delete',
  removed: 'delete',
  listed: 'list',
  read: 'retrieve',
}

function change(fields: Fields, type: string): Kind {
  const granted =
    textOf(fields, 'details.granted') !== 'false' && !/(?:^|_)(?:denied|rejected|failed)$/.test(type)
  const word = type.slice(type.lastIndexOf('_') + 1)
  const stated = textOf(fields, 'details.action')
  return {
    classId: textOf(fields, 'details.service') ?? 'mirrorgate',
    name: `Authz.${resourcePath(textOf(fields, 'resource.type') ?? type)}`,
    severity: granted ? 1 : 6,
    first: [
      ['action', stated ?? (Object.hasOwn(actions, word) ? (actions[word] as string) : word)],
      ['granted', granted],
    ],
    last: [],
  }
}

/** `ApiClient` → `api-clients`. */
function resourcePath(type: string): string {
  const words = type
    .slice(0, 128)
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
  return words.endsWith('s') ? words : `${words}s`
}

function access(fields: Fields): Kind {
  const status = httpStatusOf(fields) ?? 0
  const path = textOf(fields, 'request.path', 'path', 'endpoint') ?? ''
  return {
    classId: 'KongGateway',
    name: 'Ingress',
    severity: status === 401 || status === 403 ? 6 : status === 500 ? 10 : 1,
    first: [
      ['request', path],
      ['act', textOf(fields, 'request.method', 'method') ?? ''],
      ['status', status],
    ],
    last: [['query', queryOf(textOf(fields, 'request.query', 'query') ?? '')]],
  }
}

/** `a=1&b=2` as the JSON object that stands there. */
function queryOf(query: string): string {
  return query.startsWith('{') ? query : JSON.stringify(Object.fromEntries(new URLSearchParams(query)))
}
