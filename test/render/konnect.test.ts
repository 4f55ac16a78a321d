/** Konnect's lines: the printed examples, every outcome, and signatures that anyone can check. */
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseCef } from './cef-parser.ts'
import { activity, lines, plan } from './plan.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const signer = (line: Buffer): Buffer => sign(null, line, privateKey)
const org = plan.organizationId

const portalSignIn = {
  ...activity,
  user: { ...activity.user, id: 'a3d2699a' },
  details: {
    request: { ip_address: '172.71.232.22', user_agent: '', path: '/api/v2/developer/authenticate' },
    portal_id: '3e551b39',
    trace_id: '3360194145499877252',
    activity: 'password_login',
  },
}
const request = {
  id: 9,
  ts: '2025-05-16T20:09:54.226Z',
  method: 'POST',
  path: '/konnect-api/api/vitals/v1/explore',
  query: 'end=2&start=1',
  status: 200,
  ip: '127.0.0.6',
  user_agent: 'Mozilla/5.0 (X11)',
}

const konnect = (event: unknown, format: 'cef' | 'json' | 'cps' = 'cef', signed = false): string =>
  lines([event], { dialect: 'konnect', format }, signed ? signer : undefined)[0] as string

test('a sign-in to a portal, as printed', () => {
  expect(konnect(portalSignIn)).toBe(
    '2025-06-23T14:28:47Z konghq.com CEF:0|KongInc|Dev-Portal|1.0|AUTHENTICATION_TYPE_BASIC|' +
      'AUTHENTICATION_OUTCOME_SUCCESS|0|rt=1750688927556 src=172.71.232.22 ' +
      `request=/api/v2/developer/authenticate success=true org_id=${org} portal_id=3e551b39 ` +
      'principal_id=a3d2699a trace_id=3360194145499877252 user_agent=',
  )
})

test('a change and a request, as printed', () => {
  const change = {
    ...activity,
    event_type: 'client_created',
    resource: { ...activity.resource, type: 'ApiClient' },
  }
  expect(konnect(change)).toBe(
    '2025-06-23T14:28:47Z konghq.com CEF:0|KongInc|Konnect|1.0|mirrorgate|Authz.api-clients|1|' +
      `rt=1750688927556 src=172.71.232.22 action=create granted=true org_id=${org} principal_id=3 ` +
      'trace_id=42 user_agent=curl/8',
  )
  expect(konnect(request)).toBe(
    '2025-05-16T20:09:54Z konghq.com CEF:0|KongInc|Konnect|1.0|KongGateway|Ingress|1|rt=1747426194226 ' +
      'src=127.0.0.6 request=/konnect-api/api/vitals/v1/explore act=POST status=200 ' +
      `org_id=${org} principal_id= trace_id=9 user_agent=Mozilla/5.0 (X11) ` +
      'query={"end":"2","start":"1"}',
  )
})

test('JSON has its header keys beside the others, sorted; CPS wraps it', () => {
  const json = konnect(request, 'json')
  const entry = JSON.parse(json)
  expect(entry).toEqual({
    act: 'POST',
    cef_version: 0,
    event_class_id: 'KongGateway',
    event_product: 'Konnect',
    event_ts: '2025-05-16T20:09:54Z',
    event_vendor: 'KongInc',
    event_version: '1.0',
    name: 'Ingress',
    org_id: org,
    principal_id: '',
    query: '{"end":"2","start":"1"}',
    request: request.path,
    rt: '1747426194226',
    severity: 1,
    src: '127.0.0.6',
    status: 200,
    trace_id: '9',
    user_agent: 'Mozilla/5.0 (X11)',
  })
  expect(Object.keys(entry)).toEqual(Object.keys(entry).sort())
  expect(konnect(request, 'cps')).toBe(`{"event":${json}}`)
})

test.each([
  [{ event_type: 'user_login_failed' }, 'INVALID_PASSWORD', 1],
  [{ event_type: 'user_login_failed', details: { outcome: 'not_found' } }, 'NOT_FOUND', 1],
  [{ event_type: 'user_login', details: { success: false } }, 'INVALID_PASSWORD', 1],
  [{ event_type: 'user_login_failed', details: { outcome: 'token_expired' } }, 'TOKEN_EXPIRED', 1],
  [{ event_type: 'client_locked_out' }, 'LOCKED', 6],
  [{ event_type: 'user_login', details: { outcome: 'AUTHENTICATION_OUTCOME_DISABLED' } }, 'DISABLED', 6],
  [{ event_type: 'user_login', details: { outcome: 'invalid' } }, 'INVALID', 7],
  [{ event_type: 'user_login', details: { outcome: 'constructor' } }, 'SUCCESS', 0],
])('the outcome of %j is %s', (changes, outcome, severity) => {
  const read = parseCef(konnect({ ...activity, ...changes }))
  expect(read.header[4]).toBe(`AUTHENTICATION_OUTCOME_${outcome}`)
  expect(read.severity).toBe(severity)
  expect(read.extension['success']).toBe(String(outcome === 'SUCCESS'))
})

test.each([
  [{ activity: 'token_login' }, 'PAT'],
  [{ activity: 'constructor' }, 'BASIC'],
  [{ authentication_type: 'AUTHENTICATION_TYPE_SPAT' }, 'SPAT'],
  [{ authentication_type: 'github' }, 'GITHUB'],
])('what %j signed in with is %s', (details, type) => {
  expect(parseCef(konnect({ ...activity, details })).header[3]).toBe(`AUTHENTICATION_TYPE_${type}`)
})

test.each([
  [{ status: 401 }, 6],
  [{ status: 403 }, 6],
  [{ status: 500 }, 10],
  [{ status: 502 }, 1],
])('a request with %j has severity %i', (changes, severity) => {
  expect(parseCef(konnect({ ...request, ...changes })).severity).toBe(severity)
})

test('what was denied is said', () => {
  const denied = { ...activity, event_type: 'configuration_rejected' }
  expect(parseCef(konnect(denied))).toMatchObject({ severity: 6, extension: { granted: 'false' } })
})

test('signatures cover the line without them, and one changed character breaks them', () => {
  const hostile = { ...request, user_agent: 'a sig=b\n","sig":"x', path: '/|\\=' }
  const line = konnect(hostile, 'cef', true)
  const [, bare = '', sig = ''] = /^(.*) sig=([\w-]{86})$/.exec(line) ?? []
  const check = (text: string, signature: string) =>
    verify(null, Buffer.from(text), publicKey, Buffer.from(signature, 'base64url'))
  expect(bare).toBe(konnect(hostile))
  expect(check(bare, sig)).toBe(true)
  expect(check(bare.replace('status=200', 'status=201'), sig)).toBe(false)
  expect(parseCef(line).extension).toMatchObject({ sig, user_agent: hostile.user_agent, request: '/|\\=' })
  for (const format of ['json', 'cps'] as const) {
    const text = konnect(hostile, format, true)
    const inner = format === 'cps' ? text.slice('{"event":'.length, -1) : text
    const [, before = '', signature = ''] = /^(.*),"sig":"([\w-]{86})"\}$/.exec(inner) ?? []
    expect(check(`${before}}`, signature)).toBe(true)
    expect(`${before}}`).toBe(konnect(hostile, 'json'))
    expect(JSON.parse(inner)).toMatchObject({ sig: signature, user_agent: hostile.user_agent })
  }
})
