/** What a list of tags shows, and in which order: filters, sorts and pages. */
import { beforeAll, describe, expect, test } from 'vitest'
import { AdminClient } from '../../demo/admin-client.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { assignTags, createTag, listTags, type ShortTag, titlesOf } from '../support/tags.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

let gateway: TestGateway
let admin: AdminClient
const made = new Map<string, ShortTag>()
const handleOf = (title: string): string => made.get(title)?.handle ?? ''
const titles = (query: string): Promise<string[]> => titlesOf(admin, query)

beforeAll(async () => {
  const upstream = await startUpstream()
  const clients = ['ann', 'bob'].map((name) => ({ name, token: `${name}-token`, role: 'admin' }))
  gateway = await startTestGateway({
    config: {
      admin: { clients },
      collections: [
        { name: 'orders', upstreams: [{ url: upstream.url }] },
        { name: '7', prefix: '/seven', upstreams: [{ url: upstream.url }] },
      ],
      streams: [{ name: 'siem', sink: 'blackhole', events: ['activity'] }],
    },
  })
  admin = new AdminClient(gateway.adminPort, 'ann-token')
  const bob = new AdminClient(gateway.adminPort, 'bob-token')
  const make = async (by: AdminClient, title: string, description = '') =>
    made.set(title, await createTag(by, { title, description }))
  await make(admin, 'delta', 'holds PCI data')
  await make(bob, 'Alpha', 'first\nof all')
  await make(admin, 'bravo', '100% [safe]')
  await make(bob, 'charlie')
  await make(admin, 'Écho')
  await assignTags(admin, { add_tags: [handleOf('delta')], recipe_ids: [7, 8], connection_ids: [9] })
  await assignTags(admin, { add_tags: [handleOf('Alpha')], collections: ['7'], streams: ['siem'] })
  await assignTags(admin, { add_tags: [handleOf('charlie')], data_table_ids: [8], page_ids: [8] })
})

describe('filters', () => {
  test('q[title_or_description_cont] finds text in either, whatever its case', async () => {
    expect(await titles('?q[title_or_description_cont]=pci')).toEqual(['delta'])
    expect(await titles('?q%5Btitle_or_description_cont%5D=ALPH')).toEqual(['Alpha'])
    expect(await titles('?q[title_or_description_cont]=%25')).toEqual(['bravo'])
    expect(await titles('?q[title_or_description_cont]=.')).toEqual([])
    expect(await titles('?q[title_or_description_cont]=alpha%0Afirst')).toEqual([])
    expect(await titles('?q[title_or_description_cont]=')).toHaveLength(5)
  })

  test('q[handle_in] takes one handle or several, with and without []', async () => {
    const [one, two] = [handleOf('bravo'), handleOf('Alpha')]
    expect(await titles(`?q[handle_in]=${one}`)).toEqual(['bravo'])
    expect(await titles(`?q[handle_in][]=${one}&q[handle_in][]=${two}`)).toEqual(['Alpha', 'bravo'])
    expect(await titles(`?q[handle_in]=${one}&q[handle_in]=${two}`)).toEqual(['Alpha', 'bravo'])
    expect(await titles('?q[handle_in][]=tag-of-nobody')).toEqual([])
  })

  test('q[author_id_eq] finds who created it', async () => {
    const [tag] = await listTags(admin, `?includes=author&q[handle_in]=${handleOf('Alpha')}`)
    expect(tag?.author?.name).toBe('bob')
    expect(await titles(`?q[author_id_eq]=${tag?.author?.id}`)).toEqual(['Alpha', 'charlie'])
    expect(await titles('?q[author_id_eq]=999999')).toEqual([])
  })

  test('q[taggable_id_eq] and q[taggable_type_eq] must be those of one assignment', async () => {
    expect(await titles('?q[taggable_id_eq]=8')).toEqual(['charlie', 'delta'])
    expect(await titles('?q[taggable_id_eq]=siem')).toEqual(['Alpha'])
    expect(await titles('?q[taggable_id_eq]=7&q[taggable_type_eq]=recipe')).toEqual(['delta'])
    expect(await titles('?q[taggable_id_eq]=7&q[taggable_type_eq]=collection')).toEqual(['Alpha'])
    expect(await titles('?q[taggable_id_eq]=9&q[taggable_type_eq]=recipe')).toEqual([])
    for (const type of ['data_table', 'DataTable', 'data_tables']) {
      expect(await titles(`?q[taggable_type_eq]=${type}`), type).toEqual(['charlie'])
    }
    for (const type of ['Recipe', 'Flow', 'SharedAccount', 'connection']) {
      expect(await titles(`?q[taggable_type_eq]=${type}`), type).toEqual(['delta'])
    }
    expect(await titles('?q[taggable_type_eq]=mirror')).toEqual([])
  })

  test('q[only_assigned] leaves out what nothing bears', async () => {
    expect(await titles('?q[only_assigned]=true')).toEqual(['Alpha', 'charlie', 'delta'])
    expect(await titles('?q[only_assigned]=false')).toHaveLength(5)
  })

  test('all of them hold together', async () => {
    expect(await titles('?q[only_assigned]=true&q[title_or_description_cont]=a')).toEqual([
      'Alpha',
      'charlie',
      'delta',
    ])
    expect(await titles('?q[only_assigned]=true&q[taggable_type_eq]=page&q[taggable_id_eq]=8')).toEqual([
      'charlie',
    ])
  })
})

describe('sorts', () => {
  const byTitle = ['Alpha', 'bravo', 'charlie', 'delta', 'Écho']

  test('by title as people read it, unless asked otherwise', async () => {
    expect(await titles('')).toEqual(byTitle)
    expect(await titles('?sort_by[]=title&sort_direction[]=desc')).toEqual([...byTitle].reverse())
    expect(await titles('?sort_direction[]=desc')).toEqual([...byTitle].reverse())
  })

  test('directions belong to orders by their position', async () => {
    expect(await titles('?sort_by[]=assignment_count&sort_direction[]=desc')).toEqual([
      ...['delta', 'Alpha', 'charlie'],
      ...['bravo', 'Écho'],
    ])
    const query = '?sort_by[]=assignment_count&sort_by[]=title&sort_direction[]=asc&sort_direction[]=desc'
    expect(await titles(query)).toEqual(['Écho', 'bravo', 'charlie', 'Alpha', 'delta'])
  })

  test('by the last assignment; what never had one is the oldest', async () => {
    // Times are milliseconds: two in the same one would leave the order to the title.
    await until(
      async () => {
        await assignTags(admin, { remove_tags: [handleOf('delta')], recipe_ids: [8] })
        await assignTags(admin, { add_tags: [handleOf('delta')], recipe_ids: [8] })
        return (await titles('?sort_by[]=last_assigned_at&sort_direction[]=desc'))[0] === 'delta'
      },
      { what: 'the tag that was assigned last stands first' },
    )
    expect((await titles('?sort_by[]=last_assigned_at')).slice(0, 2)).toEqual(['bravo', 'Écho'])
  })

  test('by the last change', async () => {
    await until(
      async () => {
        await admin.json('PUT', `/api/tags/${handleOf('bravo')}`, { title: 'bravo' })
        return (await titles('?sort_by[]=updated_at&sort_direction[]=desc'))[0] === 'bravo'
      },
      { what: 'the tag that was changed last stands first' },
    )
    expect((await titles('?sort_by[]=updated_at')).at(-1)).toBe('bravo')
  })
})

test('pages follow each other without a gap, and end with an empty one', async () => {
  for (let at = 0; at < 102; at++) {
    await createTag(admin, { title: `page ${String(at).padStart(3, '0')}` })
  }
  const filter = 'q[title_or_description_cont]=page'
  expect(await titles(`?${filter}`)).toHaveLength(100)
  expect(await titles(`?${filter}&page=2`)).toEqual(['page 100', 'page 101'])
  expect(await titles(`?${filter}&page=2&per_page=3`)).toEqual(['page 003', 'page 004', 'page 005'])
  expect(await titles(`?${filter}&page=3`)).toEqual([])
})

test('what cannot be asked is 400 and names the parameter', async () => {
  const wrong = {
    'page=0': 'page',
    'page=x': 'page',
    'per_page=101': 'per_page',
    'per_page=0': 'per_page',
    'q[author_id_eq]=ann': 'q[author_id_eq]',
    'q[only_assigned]=maybe': 'q[only_assigned]',
    'q[taggable_type_eq]=planet': 'q[taggable_type_eq]',
    'q[title_or_description_cont][]=a&q[title_or_description_cont][]=b': 'q[title_or_description_cont]',
    'q[__proto__]=1': 'q[__proto__]',
    'sort_by[]=color': 'sort_by[]',
    'sort_by=title&sort_direction=up': 'sort_direction[]',
    'sort_by=title&sort_direction[]=asc&sort_direction[]=desc': 'sort_direction[]',
    'includes[]=secrets': 'includes[]',
    'includes[]=author&limit=3': 'limit',
  }
  for (const [query, parameter] of Object.entries(wrong)) {
    const { status, text } = await admin.call('GET', `/api/tags?${query}`)
    const { errors } = JSON.parse(text) as { errors: object }
    expect([status, Object.keys(errors)], query).toEqual([400, [parameter]])
  }
  const hinted = await admin.call('GET', '/api/tags?q[handles_in]=x')
  expect(hinted.text).toContain('did you mean `q[handle_in]`?')
})
