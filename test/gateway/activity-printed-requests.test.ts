/** The six requests that the documentation of the activity log prints, as they are printed. */
import { beforeAll, expect, test } from 'vitest'
import { type CurlAnswer, runCurl } from '../support/curl.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { printedActivities } from '../support/printed-activities.ts'
import { startUpstream } from '../support/upstream.ts'

interface Printed {
  id: number
  timestamp: string
  event_type: string
  workspace: object
  user: { id: number }
  details: object
  resource: { type: string }
}
interface Listed {
  data: Printed[]
  total: number
}

const token = 'token-of-a-client-in-dev'
const curl = (path: string) => `
curl  -X GET "https://www.workato.com${path}" \\
      -H "Authorization: Bearer <api_token>"
`
let gateway: TestGateway
/** Number of the first seeded entry. */
let first = 0

async function run(path: string): Promise<CurlAnswer> {
  const answer = await runCurl(curl(path).replace('<api_token>', token).trim(), gateway.adminPort)
  expect(answer.status, answer.text).toBe(200)
  return answer
}

/** What the test seeded; the gateway's own entries (its start, the sign-in of this client) stand apart. */
const seeded = ({ data }: Listed) =>
  data.filter(({ id }) => id >= first && id < first + printedActivities.length)
const newestFirst = (indexes: readonly number[]) =>
  indexes.map((at) => ({ id: first + at, ...printedActivities[at] })).sort((a, b) => b.id - a.id)
const all = printedActivities.map((_, at) => at)
const where = (holds: (activity: (typeof printedActivities)[number]) => boolean) =>
  all.filter((at) => holds(printedActivities[at] as (typeof printedActivities)[number]))
/** The text of an answer, so that the order of keys counts. */
const textOf = (entries: unknown) => JSON.stringify(entries, null, 2)

beforeAll(async () => {
  const { url } = await startUpstream()
  gateway = await startTestGateway({
    config: {
      environment: 'prod',
      collections: [{ name: 'orders', upstreams: [{ url }] }],
      admin: { clients: [{ name: 'systems', token, role: 'operator', environment: 'dev' }] },
    },
  })
  const line = `curl -X POST "https://www.workato.com/api/activity_logs" \\
    -H "Authorization: Bearer ${token}" -H "Content-Type: application/json" \\
    -d '${JSON.stringify(printedActivities)}'`
  const { status, json, text } = await runCurl(line, gateway.adminPort)
  expect(status, text).toBe(202)
  const { ids } = (json as { data: { ids: number[] } }).data
  first = ids[0] as number
  expect(ids).toEqual(printedActivities.map((_, at) => first + at))
})

test('Request 1: Without query parameters', async () => {
  const { json, type } = await run('/api/activity_logs')
  const listed = json as Listed
  expect(type).toBe('application/json; charset=utf-8')
  expect(Object.keys(listed)).toEqual(['data', 'total'])
  expect(textOf(seeded(listed))).toBe(textOf(newestFirst(all)))
  expect(listed.total).toBe(listed.data.length)
})

test('Request 2: Get the last three records', async () => {
  const { total } = (await run('/api/activity_logs')).json as Listed
  const { json } = await run('/api/activity_logs?page%5Bsize%5D=3')
  expect(textOf(json)).toBe(textOf({ data: newestFirst(all).slice(0, 3), total }))
})

test('Request 3: Get the activities of one day for two users', async () => {
  const { json } = await run(
    '/api/activity_logs?from=2024-06-30T00:00:00Z&to=2024-06-30T23:59:59Z' +
      '&users_ids[]=54321&users_ids[]=12345',
  )
  const ofThatDay = where(({ timestamp }) => timestamp.startsWith('2024-06-30'))
  expect(textOf(json)).toBe(textOf({ data: newestFirst(ofThatDay), total: 6 }))
})

test('Request 4: Include activities with specific resource_types and event_types', async () => {
  const { json } = await run(
    '/api/activity_logs?include_resource_types[]=ApiPrivilegeGroup' +
      '&include_event_types[]=api_privilege_group_updated',
  )
  const updates = where(({ event_type }) => event_type === 'api_privilege_group_updated')
  expect(textOf(json)).toBe(textOf({ data: newestFirst(updates), total: 3 }))
})

test('Request 5: Exclude activities with specific resource_types and event_types', async () => {
  const { json } = await run(
    '/api/activity_logs?exclude_resource_types[]=User&exclude_event_types[]=user_logout',
  )
  const others = where(({ event_type }) => event_type !== 'user_logout')
  const listed = json as Listed
  expect(textOf(seeded(listed))).toBe(textOf(newestFirst(others)))
  expect(listed.data.map(({ event_type }) => event_type)).not.toContain('user_logout')
  expect(listed.total).toBe(listed.data.length)
})

test('Request 6: Get activities with a non-existent event type or user ID', async () => {
  const { text } = await run(
    '/api/activity_logs?users_ids[]=67890&include_event_types[]=nonexistent_event_type',
  )
  expect(text).toBe('{"data":[],"total":0}')
})
