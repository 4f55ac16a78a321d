/** Entries that other systems send: what is taken, what is refused and why, and what a repeat means. */
import { gzipSync } from 'node:zlib'
import { beforeAll, describe, expect, test } from 'vitest'
import { path, someActivity, startTestLog, type TestLog } from '../support/activities.ts'

let log: TestLog
beforeAll(async () => {
  log = await startTestLog()
})

const marked = () => `marked_${crypto.randomUUID()}`
const found = (event_type: string) => log.list(`include_event_types[]=${event_type}`)

describe('what is taken', () => {
  test('one entry, with what was left out filled in', async () => {
    const event_type = marked()
    const { status, json } = await log.post({ event_type, user: { id: 7 }, resource: { type: 'Flow' } })
    expect([status, json]).toEqual([202, { data: { ids: [expect.any(Number)] } }])
    const [entry] = await found(event_type)
    expect(entry).toEqual({
      id: (json['data'] as { ids: number[] }).ids[0],
      timestamp: expect.stringMatching(/^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$/),
      event_type,
      workspace: { ...log.commands.config().workspace, time_zone: undefined, environment: 'dev' },
      user: { id: 7, name: '', email: '' },
      details: {},
      resource: { id: null, name: '', type: 'Flow' },
    })
    expect(Math.abs(Date.parse(entry?.timestamp ?? '') - Date.now())).toBeLessThan(60_000)
  })

  test('everything that an entry may carry', async () => {
    const event_type = marked()
    await log.add({
      timestamp: '2024-06-18T12:17:31.250-07:00',
      event_type,
      workspace: { id: 5, name: 'W', email: 'w@example.com', environment: 'dev' },
      user: { id: 8, name: 'Jie', email: 'jie@example.com' },
      details: {
        activity: 'sso_login',
        nested: [{ deep: [true, null, 1.5] }],
        request: { ip_address: '::1', user_agent: 'x' },
      },
      resource: { authorized: true, type: 'SharedAccount', name: 'N', path: 'Home', id: 'text-id' },
      portal_id: '3e551b39-0000-4000-8000-000000000000',
    })
    const [entry] = await found(event_type)
    expect(JSON.stringify({ ...entry, id: 0 })).toBe(
      JSON.stringify({
        id: 0,
        timestamp: '2024-06-18 19:17:31 UTC',
        event_type,
        workspace: { id: 5, name: 'W', email: 'w@example.com', environment: 'dev' },
        user: { id: 8, name: 'Jie', email: 'jie@example.com' },
        details: {
          request: { ip_address: '::1', user_agent: 'x' },
          activity: 'sso_login',
          nested: [{ deep: [true, null, 1.5] }],
          portal_id: '3e551b39-0000-4000-8000-000000000000',
        },
        resource: { id: 'text-id', name: 'N', path: 'Home', type: 'SharedAccount', authorized: true },
      }),
    )
  })

  test('a thousand at once, numbered in their order', async () => {
    const event_type = marked()
    const names = Array.from({ length: 1000 }, (_, at) => `number ${at}`)
    const ids = await log.add(
      ...names.map((name) => someActivity({ event_type, resource: { name, type: 'Flow' } })),
    )
    expect(ids).toEqual(names.map((_, at) => (ids[0] as number) + at))
    const listed = await found(event_type)
    expect(listed.map(({ resource }) => resource.name)).toEqual(names.slice(-100).reverse())
  })
})

describe('what is refused, with every wrong field', () => {
  const entry = someActivity()
  const id = { id: 1 }
  const nested = '['.repeat(100_000) + ']'.repeat(100_000)
  test.for<[string, unknown, Record<string, string[]>]>([
    ['nothing', '', { body: ['must be of type object, got null', 'must be of type array, got null'] }],
    ['a text', '"x"', { body: ['must be of type object, got "x"', 'must be of type array, got "x"'] }],
    ['an empty list', [], { body: ['must have at least 1 values, got 0'] }],
    [
      'more than 1,000',
      Array(1001).fill({ ...entry, user: id }),
      { body: ['must have at most 1000 values, got 1001'] },
    ],
    ['an empty entry', {}, { event_type: ['is required'], user: ['is required'], resource: ['is required'] }],
    ['an unknown field', { ...entry, id: 1 }, { id: ['is not known here'] }],
    [
      'a misspelled one',
      { ...entry, portalid: '1' },
      { portalid: ['is not known here, did you mean `portal_id`?'] },
    ],
    ['a wrong user', { ...entry, user: { id: '7' } }, { 'user.id': ['must be of type integer, got "7"'] }],
    [
      'a user beyond numbers',
      { ...entry, user: { id: 2 ** 53 } },
      { 'user.id': ['must be at most 9007199254740991, got 9007199254740992'] },
    ],
    ['a field of the user', { ...entry, user: { id: 7, role: 'x' } }, { 'user.role': ['is not known here'] }],
    ['no resource type', { ...entry, resource: id }, { 'resource.type': ['is required'] }],
    [
      'a wrong resource id',
      { ...entry, resource: { id: 1.5, type: 'A' } },
      { 'resource.id': ['must be of type integer or string or null, got 1.5'] },
    ],
    [
      'an event type of two words',
      { ...entry, event_type: 'a b' },
      { event_type: ['must match ^[\\w.:/-]+$, got "a b"'] },
    ],
    [
      'an unknown environment',
      { ...entry, workspace: { environment: 'qa' } },
      { 'workspace.environment': ['must be one of dev, sandbox, test, stage, uat, preprod, prod, got "qa"'] },
    ],
    [
      'wrong details',
      { ...entry, details: { request: { ip_address: 1 } } },
      { 'details.request.ip_address': ['must be of type string, got 1'] },
    ],
    [
      'one of many',
      [entry, entry, { ...entry, event_type: '' }],
      { '[2].event_type': ['must have at least 1 characters, got 0', 'must match ^[\\w.:/-]+$, got ""'] },
    ],
    [
      'a wrong date of many',
      [entry, { ...entry, timestamp: '18.6.2024' }],
      {
        '[1].timestamp': [
          'must be a date in ISO 8601, YYYY-MM-DD or YYYY-MM-DDTHH:mm:ss.SSSZ, got "18.6.2024"',
        ],
      },
    ],
    [
      'deep nesting',
      `{"event_type":"a","user":{"id":1},"resource":{"type":"A","x":${nested}}}`,
      { body: ['must nest at most 32 deep'] },
    ],
  ])('%s', async ([, body, errors]) => {
    const answer = await log.post(body)
    expect([answer.status, answer.json]).toEqual([400, { message: 'the request is not valid', errors }])
  })

  test('nothing of a request stays when one entry of it is wrong', async () => {
    const event_type = marked()
    expect(
      (await log.post([someActivity({ event_type }), someActivity({ event_type, user: null })])).status,
    ).toBe(400)
    expect(await found(event_type)).toEqual([])
  })

  test('another type of body, a coded one, one too large, an entry that no page could hold', async () => {
    const body = JSON.stringify(someActivity())
    const send = async (headers: Record<string, string>, sent: string | Buffer = body) =>
      (await log.ask('POST', path, { headers, body: sent })).status
    expect(await send({ 'content-type': 'text/csv' })).toBe(415)
    expect(
      await send({ 'content-type': 'application/json', 'content-encoding': 'gzip' }, gzipSync(body)),
    ).toBe(415)
    expect((await log.post(someActivity({ details: { x: 'x'.repeat(1_100_000) } }))).status).toBe(413)
    expect((await log.post(someActivity({ details: { x: 'x'.repeat(100_000) } }))).status).toBe(413)
  })

  test('whoever may only read', async () => {
    expect((await log.post(someActivity(), { as: 'viewer' })).status).toBe(403)
    expect((await log.post(someActivity(), { as: null })).status).toBe(401)
  })
})

describe('an idempotency key', () => {
  const key = (value: string) => ({ headers: { 'idempotency-key': value } })

  test('gives a repeat the same ids and adds nothing', async () => {
    const event_type = marked()
    const body = [someActivity({ event_type }), someActivity({ event_type })]
    const answers = await Promise.all([
      log.post(body, key('a')),
      log.post(body, key('a')),
      log.post(body, key('a')),
    ])
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202])
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect((await log.post(JSON.stringify(body, null, 2), key('a'))).text).toBe(answers[0]?.text)
    expect(await found(event_type)).toHaveLength(2)
  })

  test('that comes with another body is 409, and adds nothing', async () => {
    const event_type = marked()
    await log.post(someActivity({ event_type }), key('b'))
    const { status, json } = await log.post(someActivity({ event_type, user: { id: 9 } }), key('b'))
    expect([status, json['message']]).toEqual([409, expect.stringMatching(/key/)])
    expect(await found(event_type)).toHaveLength(1)
  })

  test('belongs to its client', async () => {
    const event_type = marked()
    const body = someActivity({ event_type })
    const [mine, others] = [
      await log.post(body, key('c')),
      await log.post(body, { as: 'operator', ...key('c') }),
    ]
    expect([mine.status, others.status]).toEqual([202, 202])
    expect(await found(event_type)).toHaveLength(2)
  })

  test('must be of a length that can be kept', async () => {
    const { status, json } = await log.post(someActivity(), key('x'.repeat(256)))
    expect([status, json['errors']]).toEqual([
      400,
      { 'idempotency-key': ['must have at most 255 characters, got 256'] },
    ])
  })
})
