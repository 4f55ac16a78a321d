/** Tags are put on things and taken off them, all of a request or nothing, and it lasts over a restart. */
import { beforeAll, describe, expect, test } from 'vitest'
import type { AdminClient } from '../../demo/admin-client.ts'
import type { Activity } from '../../src/contract/activity.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { assignTags, createTag, listTags, titlesOf } from '../support/tags.ts'
import { startUpstream } from '../support/upstream.ts'

let gateway: TestGateway
let admin: AdminClient
let config: Record<string, unknown>

beforeAll(async () => {
  const upstream = await startUpstream()
  const connections = [{ name: 'hook', base_url: 'http://127.0.0.1:9' }]
  config = {
    workspace: { time_zone: 'Asia/Kolkata' },
    collections: [{ name: 'orders', upstreams: [{ url: upstream.url }], mirrors: ['copies'] }],
    connections,
    mirrors: [{ name: 'copies', sink: 'http', connection: 'hook', url: '/' }],
    streams: [{ name: 'to-siem', sink: 'blackhole', events: ['activity'] }],
  }
  gateway = await startTestGateway({ config })
  admin = gateway.admin
})

async function countOf(handle: string): Promise<number | undefined> {
  const [tag] = await listTags(admin, `?includes[]=assignment_count&q[handle_in]=${handle}`)
  return tag?.assignment_count
}

const everything = {
  recipe_ids: [1, 2],
  connection_ids: [1],
  page_ids: [1],
  data_table_ids: [9007199254740991],
  collections: ['orders'],
  mirrors: ['copies'],
  streams: ['to-siem'],
}

test('every kind of thing can bear a tag; what is so already stays so', async () => {
  const { handle } = await createTag(admin, { title: 'Everything' })
  await assignTags(admin, { add_tags: [handle, handle], ...everything, recipe_ids: [1, 2, 2] })
  expect(await countOf(handle)).toBe(8)
  await assignTags(admin, { add_tags: [handle], ...everything })
  expect(await countOf(handle)).toBe(8)
  await assignTags(admin, { remove_tags: [handle], recipe_ids: [1, 3], streams: ['to-siem'] })
  expect(await countOf(handle)).toBe(6)
  await assignTags(admin, { remove_tags: [handle], ...everything })
  expect(await countOf(handle)).toBe(0)
})

test('some are put on and others taken off in one request', async () => {
  const [one, two] = [await createTag(admin, { title: 'One' }), await createTag(admin, { title: 'Two' })]
  await assignTags(admin, { add_tags: [one.handle], recipe_ids: [10] })
  await assignTags(admin, { add_tags: [two.handle], remove_tags: [one.handle], recipe_ids: [10] })
  expect(await titlesOf(admin, '?q[taggable_id_eq]=10&q[taggable_type_eq]=recipe')).toEqual(['Two'])
})

test('a deleted tag is on nothing, also not under another handle', async () => {
  const tag = await createTag(admin, { title: 'Gone' })
  await assignTags(admin, { add_tags: [tag.handle], page_ids: [77, 78] })
  expect(await titlesOf(admin, '?q[taggable_id_eq]=77')).toEqual(['Gone'])
  expect((await admin.call('DELETE', `/api/tags/${tag.handle}`)).status).toBe(200)
  expect(await titlesOf(admin, '?q[taggable_id_eq]=77')).toEqual([])
  const again = await createTag(admin, { title: 'Gone' })
  expect([again.handle === tag.handle, await countOf(again.handle)]).toEqual([false, 0])
})

describe('what cannot be assigned', () => {
  const assign = async (body: object) => {
    const { status, text } = await admin.call('POST', '/api/tags_assignments', body)
    return { status, answer: JSON.parse(text) as { message: string; errors: Record<string, string[]> } }
  }
  const fieldsOf = async (body: object) => {
    const { status, answer } = await assign(body)
    return [status, Object.keys(answer.errors)]
  }

  test('needs a tag and something to bear it', async () => {
    const { handle } = await createTag(admin, { title: 'Needed' })
    expect(await fieldsOf({ recipe_ids: [1] })).toEqual([400, ['add_tags']])
    expect(await fieldsOf({ add_tags: [], remove_tags: [], recipe_ids: [1] })).toEqual([400, ['add_tags']])
    expect(await fieldsOf({ add_tags: [handle] })).toEqual([400, ['body']])
    expect(await fieldsOf({ add_tags: [handle], recipe_ids: [] })).toEqual([400, ['body']])
    expect(await fieldsOf({ add_tags: [handle], remove_tags: [handle], recipe_ids: [1] })).toEqual([
      400,
      ['remove_tags'],
    ])
    for (const id of ['1', 1.5, -1, 9007199254740992, null]) {
      expect(await fieldsOf({ add_tags: [handle], recipe_ids: [id] })).toEqual([400, ['recipe_ids[0]']])
    }
    expect(await fieldsOf({ add_tags: [handle], streams: ['/etc'] })).toEqual([400, ['streams[0]']])
    expect(await fieldsOf({ add_tags: [handle], recipes: [1] })).toEqual([400, ['recipes']])
    expect(await countOf(handle)).toBe(0)
  })

  test('an unknown handle is 404 and named; nothing of the request is done', async () => {
    const { handle } = await createTag(admin, { title: 'Known' })
    for (const list of ['add_tags', 'remove_tags']) {
      const unknown = {
        add_tags: [handle],
        [list]: [handle, 'tag-of-nobody'].slice(list === 'add_tags' ? 0 : 1),
      }
      const { status, answer } = await assign({ ...unknown, recipe_ids: [1] })
      expect([status, answer.message]).toEqual([404, 'no tag has this handle, got "tag-of-nobody"'])
    }
    expect(await countOf(handle)).toBe(0)
  })

  test('an unknown collection, mirror or stream is 422, named; what is gone can be taken off', async () => {
    const { handle } = await createTag(admin, { title: 'Named' })
    const names = {
      collections: ['orders', 'nobody'],
      mirrors: ['copies', 'none'],
      streams: ['to-siem', 'gone'],
    }
    expect(await assign({ add_tags: [handle], ...names })).toEqual({
      status: 422,
      answer: {
        message: 'what is to be tagged must exist',
        errors: {
          collections: ['must be the name of a collection, got "nobody"'],
          mirrors: ['must be the name of a mirror, got "none"'],
          streams: ['must be the name of a stream, got "gone"'],
        },
      },
    })
    expect(await countOf(handle)).toBe(0)
    await assignTags(admin, { remove_tags: [handle], ...names })
  })

  test('a request is bounded', async () => {
    const tags = await Promise.all(
      [...Array(5).keys()].map((at) => createTag(admin, { title: `Bound ${at}` })),
    )
    const add_tags = tags.map(({ handle }) => handle)
    const recipe_ids = [...Array(2001).keys()]
    expect(await fieldsOf({ add_tags, recipe_ids })).toEqual([400, ['body']])
    await assignTags(admin, { add_tags, recipe_ids: recipe_ids.slice(1) })
    expect(await countOf(add_tags[4] as string)).toBe(2000)
  })
})

test('every change is an entry of the activity log, by whom it was made', async () => {
  const { handle } = await createTag(admin, { title: 'Told', description: 'd', color: 'teal' })
  await admin.json('PUT', `/api/tags/${handle}`, { title: 'Retold' })
  await assignTags(admin, { add_tags: [handle], recipe_ids: [5] })
  await admin.call('DELETE', `/api/tags/${handle}`)
  const { data } = await admin.json<{ data: Activity[] }>('GET', '/api/activity_logs?page[size]=4')
  const told = data.map(({ event_type, user, resource, details: { request: _, ...details } }) => {
    expect(user.name).toBe('admin-token')
    expect([resource.id, resource.type]).toEqual([handle, 'Tag'])
    return [event_type, resource.name, details]
  })
  expect(told).toEqual([
    ['tag_deleted', 'Retold', { assignment_count: 1 }],
    ['tags_assigned', 'Retold', { change: 'added', count: 1, targets: [{ type: 'recipe', id: '5' }] }],
    ['tag_updated', 'Retold', { changes: [{ path: 'title', from: 'Told', to: 'Retold' }] }],
    ['tag_created', 'Told', { description: 'd', color: 'teal' }],
  ])
})

test('tags and assignments last over a kill, with their times', async () => {
  const { handle } = await createTag(admin, { title: 'Lasting' })
  await assignTags(admin, { add_tags: [handle], ...everything })
  const before = await admin.call('GET', '/api/tags?includes[]=author&includes[]=assignment_count')
  expect(before.text).toMatch(/"created_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+05:30"/)
  await gateway.kill9()
  gateway = await startTestGateway({ config, folder: gateway.folder })
  admin = gateway.admin
  const after = await admin.call('GET', '/api/tags?includes[]=author&includes[]=assignment_count')
  expect(after.text).toBe(before.text)
  expect(await titlesOf(admin, '?q[taggable_id_eq]=copies&q[taggable_type_eq]=mirror')).toEqual(['Lasting'])
})
