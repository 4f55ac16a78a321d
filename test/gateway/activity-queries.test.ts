/** What a query of the activity log selects, in every form that it can be written, and what it refuses. */
import { beforeAll, describe, expect, test } from 'vitest'
import { path, someActivity, startTestLog, type TestLog } from '../support/activities.ts'

const fortnight = Array.from({ length: 14 }, (_, at) => ({
  ...someActivity({
    event_type: ['recipe_created', 'recipe_updated', 'connection_updated'][at % 3],
    user: { id: 7 + (at % 3), name: `User ${at % 3}`, email: '' },
    resource: { id: at, name: `Thing ${at}`, type: at % 2 === 0 ? 'Flow' : 'SharedAccount' },
  }),
  timestamp: `2024-06-${String(10 + at)}T12:00:00.500Z`,
}))

let log: TestLog
let ids: number[] = []

beforeAll(async () => {
  log = await startTestLog()
  ids = await log.add(...fortnight)
})

/** Which of the fortnight an answer holds, in its order. */
const days = async (query: string) => (await log.list(query)).map(({ id }) => ids.indexOf(id))
const downTo = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, at) => from - at)

describe('a time range', () => {
  test.for([
    ['from=2024-06-20', downTo(13, 10)],
    ['to=2024-06-11&from=2024-06-10', [1, 0]],
    ['from=2024-06-12&to=2024-06-12', [2]],
    ['from=2024-06-12T12:00:00.500Z&to=2024-06-12T12:00:00.500Z', [2]],
    ['from=2024-06-12T12:00:00.501Z&to=2024-06-13T12:00:00.499Z', []],
    ['from=2024-06-12T12:00:00.5009Z&to=2024-06-12T13:00Z', []],
    ['from=2024-06-12T12:00:00Z&to=2024-06-12T12:00:00Z', [2]],
    ['from=2024-06-12T12:00&to=2024-06-12T12:01', [2]],
    ['from=2024-06-12T14:00:00%2B02:00&to=2024-06-12T14:00:01%2B02:00', [2]],
    ['from=2024-06-12T14:00:00+02:00&to=2024-06-12T14:00:01+02:00', [2]],
    ['from=2024-06-12T04:30:00-0730&to=2024-06-12T04:30:01-0730', [2]],
    ['from=2024-06-12T12:00:00-00&to=2024-06-12t12:00:01z', [2]],
    ['from=2024-06-12%2012:00:00%20UTC&to=2024-06-12+12:00:00+UTC', [2]],
    ['to=2024-06-10T11:59:59&from=2000-01-01', []],
  ] as const)('%s', async ([query, found]) => {
    expect(await days(query)).toEqual(found)
  })
})

describe('a filter', () => {
  test.for([
    ['users_ids[]=7&to=2024-12-31', [12, 9, 6, 3, 0]],
    ['users_ids%5B%5D=7&users_ids%5B%5D=8&from=2024-06-20&to=2024-12-31', [13, 12, 10]],
    ['users_ids=7&to=2024-12-31', [12, 9, 6, 3, 0]],
    ['users_ids=7&users_ids=8&from=2024-06-20&to=2024-12-31', [13, 12, 10]],
    ['users_ids[0]=7&users_ids[1]=8&from=2024-06-20&to=2024-12-31', [13, 12, 10]],
    ['include_resource_types[]=flow&to=2024-12-31', [12, 10, 8, 6, 4, 2, 0]],
    ['include_resource_types=FLOW&include_event_types=RECIPE_CREATED', [12, 6, 0]],
    ['exclude_resource_types[]=flow&exclude_event_types[]=recipe_created&to=2024-12-31', [13, 11, 7, 5, 1]],
    ['include_event_types[]=recipe_created,recipe_updated', []],
    ['include_event_types[]=recipe_created&exclude_event_types[]=recipe_created', []],
    ['q=tHiNg%2013', [13]],
    ['q=User%202&from=2024-06-20&to=2024-12-31', [11]],
  ] as const)('%s', async ([query, found]) => {
    expect(await days(query)).toEqual(found)
  })
})

describe('a page', () => {
  const range = 'from=2024-06-10&to=2024-06-23'
  test('goes on after the last id of the one before, and counts all', async () => {
    const seen: number[] = []
    for (let after: number | undefined; ; ) {
      const query = `${range}&page[size]=5${after === undefined ? '' : `&page[after]=${after}`}`
      const { json } = await log.ask('GET', `${path}?${query}`)
      expect(json['total']).toBe(14)
      const page = json['data'] as { id: number }[]
      if (page.length === 0) break
      seen.push(...page.map(({ id }) => ids.indexOf(id)))
      after = page.at(-1)?.id
    }
    expect(seen).toEqual(downTo(13, 0))
  })

  test('with order=asc begins with the oldest', async () => {
    expect(await days(`${range}&order=asc&page[size]=3`)).toEqual([0, 1, 2])
    expect(await days(`${range}&order=asc&page[size]=3&page[after]=${ids[2]}`)).toEqual([3, 4, 5])
    expect(await days(`${range}&order=asc&page[after]=${ids[13]}`)).toEqual([])
    expect(await days(`${range}&page[after]=0`)).toEqual([])
  })
})

describe('what is refused with 400', () => {
  const date = 'must be a date in ISO 8601, YYYY-MM-DD or YYYY-MM-DDTHH:mm:ss.SSSZ'
  test.for([
    ['from=yesterday', 'from', `${date}, got "yesterday"`],
    ['to=2024-30-06', 'to', `${date} (the month comes before the day), got "2024-30-06"`],
    [
      'from=2024-31-12T00:00:00Z',
      'from',
      `${date} (the month comes before the day), got "2024-31-12T00:00:00Z"`,
    ],
    ['from=2024-02-30', 'from', `${date}, got "2024-02-30"`],
    ['from=2024-6-1', 'from', `${date}, got "2024-6-1"`],
    ['from=2024-06-01T24:00:00Z', 'from', `${date}, got "2024-06-01T24:00:00Z"`],
    ['from=2024-06-01T10:00:00%2B25:00', 'from', `${date}, got "2024-06-01T10:00:00+25:00"`],
    ['from=', 'from', `${date}, got ""`],
    ['to=1718738251', 'to', `${date}, got "1718738251"`],
    ['from=2024-06-02&to=2024-06-01', 'from', 'must not be after to (2024-06-01), got "2024-06-02"'],
    ['from=2024-06-01&from=2024-06-02', 'from', 'must be of type string, got a list'],
    ['page[size]=101', 'page[size]', 'must be at most 100, got 101'],
    ['page[size]=0', 'page[size]', 'must be at least 1, got 0'],
    ['page%5Bsize%5D=ten', 'page[size]', 'must be of type integer, got "ten"'],
    ['page[after]=x', 'page[after]', 'must be of type integer, got "x"'],
    ['page[after]=-1', 'page[after]', 'must be at least 0, got -1'],
    ['users_ids[]=abc', 'users_ids[]', 'must be of type integer, got "abc"'],
    ['users_ids[]=1,2', 'users_ids[]', 'must be of type integer, got "1,2"'],
    ['users_ids[]=1&users_ids[]=1.5', 'users_ids[]', 'must be of type integer, got "1.5"'],
    ['users_ids=1e3', 'users_ids[]', 'must be of type integer, got "1e3"'],
    ['users_ids[x]=1', 'users_ids[x]', 'is not known here, did you mean `users_ids[]`?'],
    ['users_id[]=1', 'users_id', 'is not known here, did you mean `users_ids[]`?'],
    ['page_size=3', 'page_size', 'is not known here, did you mean `page[size]`?'],
    ['form=2024-06-01', 'form', 'is not known here, did you mean `from`?'],
    ['__proto__[x]=1', '__proto__[x]', 'is not known here'],
    ['order=random', 'order', 'must be one of desc, asc, got "random"'],
    ['q=', 'q', 'must have at least 1 characters, got 0'],
    [`q=${'x'.repeat(201)}`, 'q', 'must have at most 200 characters, got 201'],
    ['include_event_types[]=', 'include_event_types[]', 'must have at least 1 characters, got 0'],
  ] as const)('%s', async ([query, field, sentence]) => {
    const { ask } = log
    const { status, json } = await ask('GET', `${path}?${query}`)
    expect([status, json]).toEqual([
      400,
      { message: 'the request is not valid', errors: { [field]: [sentence] } },
    ])
  })

  test('more values than a filter can have', async () => {
    const values = Array.from({ length: 501 }, (_, at) => `users_ids[]=${at}`).join('&')
    const { status, json } = await log.ask('GET', `${path}?${values}`)
    expect([status, json['errors']]).toEqual([
      400,
      { 'users_ids[]': ['must have at most 500 values, got 501'] },
    ])
  })

  test('both dates at once', async () => {
    const { json } = await log.ask('GET', `${path}?from=a&to=b`)
    expect(Object.keys(json['errors'] as object)).toEqual(['from', 'to'])
  })

  test('also by counts and exports, which know no pages', async () => {
    for (const route of ['stats', 'export']) {
      const { status, json } = await log.ask('GET', `${path}/${route}?page[size]=3&to=x`)
      expect([status, Object.keys(json['errors'] as object)]).toEqual([400, ['page[size]']])
      expect((await log.ask('GET', `${path}/${route}?to=x`)).status).toBe(400)
    }
    expect((await log.ask('GET', `${path}/export?format=xml`)).json['errors']).toEqual({
      format: ['must be one of ndjson, csv, got "xml"'],
    })
  })
})

test('one entry is found by its id, with its place in the chain', async () => {
  const { status, json } = await log.ask('GET', `${path}/${ids[3]}`)
  const [listed] = await log.list(`from=2024-06-13&to=2024-06-13`)
  expect(status).toBe(200)
  const hash = expect.stringMatching(/^[0-9a-f]{64}$/)
  expect(json).toEqual({ ...listed, prev_hash: hash, hash })
  const next = await log.ask('GET', `${path}/${ids[4]}`)
  expect(next.json['prev_hash']).toBe(json['hash'])
})

test.for(['0', '01', '999999999', '-1', 'abc', '1e1', '9'.repeat(40), '%00'])('id %s is 404', async (id) => {
  const { status, json } = await log.ask('GET', `${path}/${id}`)
  expect([status, json['message']]).toEqual([404, expect.stringMatching(/^no activity has this id, got /)])
})

test('counts are by type and by day, of what a filter leaves', async () => {
  const { json } = await log.ask(
    'GET',
    `${path}/stats?from=2024-06-10&to=2024-06-12&users_ids[]=7&users_ids[]=8`,
  )
  expect(json).toEqual({
    total: 2,
    by_type: { recipe_created: 1, recipe_updated: 1 },
    by_day: { '2024-06-10': 1, '2024-06-11': 1 },
  })
})
