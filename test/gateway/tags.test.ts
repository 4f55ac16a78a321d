/** The tag requests that the environment-management API prints, each with its printed answer. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type AdminAnswer, AdminClient } from '../../demo/admin-client.ts'
import { tagColors } from '../../src/store/tags.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { assignTags, createTag, listTags, type ListedTag, type ShortTag } from '../support/tags.ts'
import { startUpstream } from '../support/upstream.ts'

const tokens = { Charlie: 'charlie-token', Jie: 'jie-token', Alex: 'alex-token' }
type Person = keyof typeof tokens
const handlePattern = /^tag-[A-Za-z0-9]{8}-[A-Za-z0-9]{6}$/
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-0[78]:00$/

let gateway: TestGateway
const as = (person: Person) => new AdminClient(gateway.adminPort, tokens[person])

beforeAll(async () => {
  const upstream = await startUpstream()
  const clients = Object.entries(tokens).map(([name, token]) => ({ name, token, role: 'admin' }))
  gateway = await startTestGateway({
    config: {
      workspace: { id: 12345, name: 'Alex', time_zone: 'America/Los_Angeles' },
      admin: { clients: [...clients, { name: 'reader', token: 'reader-token', role: 'viewer' }] },
      collections: [{ name: 'orders', upstreams: [{ url: upstream.url }] }],
    },
  })
})

/** Handle of the tag that the printed examples create, change and delete. */
let handle = ''

test('POST /api/tags as printed: creates a tag', async () => {
  const { status, text } = await as('Jie').call('POST', '/api/tags', {
    title: 'HR',
    description: 'HR tag',
    color: 'green',
  })
  expect(status).toBe(200)
  handle = (JSON.parse(text) as { data: ShortTag }).data.handle
  expect(handle).toMatch(handlePattern)
  expect(text).toBe(JSON.stringify({ data: { handle, title: 'HR', description: 'HR tag', color: 'green' } }))
})

test('PUT /api/tags/:handle as printed: updates it', async () => {
  const { status, text } = await as('Jie').call('PUT', `/api/tags/${handle}`, {
    title: 'Updated tag name',
    description: 'Updated the tag name',
    color: 'red',
  })
  expect(status).toBe(200)
  const data = { handle, title: 'Updated tag name', description: 'Updated the tag name', color: 'red' }
  expect(text).toBe(JSON.stringify({ data }))
})

test('DELETE /api/tags/:handle as printed: 200 and no body', async () => {
  const { status, text, headers } = await as('Jie').call('DELETE', `/api/tags/${handle}`)
  expect([status, text, headers['content-length']]).toEqual([200, '', '0'])
  expect((await as('Jie').call('DELETE', `/api/tags/${handle}`)).status).toBe(404)
})

test('GET /api/tags as printed: with author and assignment_count, by title', async () => {
  const rows = [
    { title: 'Finance', color: 'gold', person: 'Alex', recipe_ids: [1, 2, 3, 4] },
    { title: 'Business development', color: 'green', person: 'Jie', recipe_ids: [1, 2, 3] },
    { title: 'Accounting', color: 'orange', person: 'Charlie', recipe_ids: [1, 2, 3, 4, 5, 6] },
  ] as const
  for (const { title, color, person, recipe_ids } of rows) {
    const tag = await createTag(as(person), { title, description: `${title} tag`, color })
    await assignTags(as(person), { add_tags: [tag.handle], recipe_ids })
  }
  const answer = await as('Alex').call('GET', '/api/tags?includes[]=author&includes[]=assignment_count')
  expect(answer.status).toBe(200)
  const { tags } = (JSON.parse(answer.text) as { data: { tags: ListedTag[] } }).data
  const printed = (at: number, title: string, color: string, name: Person, assignment_count: number) => ({
    handle: expect.stringMatching(handlePattern),
    title,
    description: `${title} tag`,
    color,
    created_at: expect.stringMatching(timePattern),
    updated_at: tags[at]?.created_at,
    author: { id: expect.any(Number), name, avatar_url: '' },
    assignment_count,
  })
  expect(tags).toEqual([
    printed(0, 'Accounting', 'orange', 'Charlie', 6),
    printed(1, 'Business development', 'green', 'Jie', 3),
    printed(2, 'Finance', 'gold', 'Alex', 4),
  ])
  const keys = ['handle', 'title', 'description', 'color', 'created_at', 'updated_at']
  for (const tag of tags) expect(Object.keys(tag)).toEqual([...keys, 'author', 'assignment_count'])
  // Three people, three authors; and only what is asked for.
  expect(new Set(tags.map(({ author }) => author?.id)).size).toBe(3)
  for (const tag of await listTags(as('Alex'))) expect(Object.keys(tag)).toEqual(keys)
})

test('POST /api/tags_assignments as printed: 200 and no body', async () => {
  const tag = await createTag(as('Alex'), { title: 'Assigned' })
  const { status, text, headers } = await as('Alex').call('POST', '/api/tags_assignments', {
    add_tags: [tag.handle],
    recipe_ids: [54525313],
    connection_ids: [1571346],
  })
  expect([status, text, headers['content-length']]).toEqual([200, '', '0'])
})

test('who may not change configuration may only read', async () => {
  const reader = new AdminClient(gateway.adminPort, 'reader-token')
  expect((await reader.call('GET', '/api/tags')).status).toBe(200)
  expect((await reader.call('POST', '/api/tags', { title: 'x' })).status).toBe(403)
  expect((await reader.call('PUT', '/api/tags/tag-x', { title: 'x' })).status).toBe(403)
  expect((await reader.call('DELETE', '/api/tags/tag-x')).status).toBe(403)
  expect((await reader.call('POST', '/api/tags_assignments', { add_tags: ['x'] })).status).toBe(403)
})

describe('what a tag may be', () => {
  const create = (body: object): Promise<AdminAnswer> => as('Alex').call('POST', '/api/tags', body)
  const errorsOf = ({ text }: AdminAnswer) => (JSON.parse(text) as { errors: object }).errors

  test('a title has 1 to 30 characters, however many bytes they take', async () => {
    for (const character of ['a', 'é', '漢', '😀']) {
      expect((await create({ title: character.repeat(30) })).status, character).toBe(200)
      const tooLong = await create({ title: character.repeat(31) })
      expect([tooLong.status, errorsOf(tooLong)]).toEqual([
        400,
        { title: ['must have at most 30 characters, got 31'] },
      ])
    }
    for (const title of ['', '  ', 'two\nlines', '\u0000', '\ud800', 7, null]) {
      const { status, text } = await create({ title })
      expect([status, text.includes('"title"')], JSON.stringify(title)).toEqual([400, true])
    }
    expect(errorsOf(await create({}))).toEqual({ title: ['is required'] })
  })

  test('a description has up to 150 characters', async () => {
    expect((await create({ title: 'long', description: '😀'.repeat(150) })).status).toBe(200)
    expect((await create({ title: 'lines', description: 'one\ntwo' })).status).toBe(200)
    const tooLong = await create({ title: 'longer', description: '😀'.repeat(151) })
    const problem = { description: ['must have at most 150 characters, got 151'] }
    expect([tooLong.status, errorsOf(tooLong)]).toEqual([400, problem])
  })

  test('twelve colors, one of them at random where none is given', async () => {
    for (const color of tagColors) {
      expect((await createTag(as('Alex'), { title: `c ${color}`, color })).color).toBe(color)
    }
    expect(errorsOf(await create({ title: 'pink', color: 'pink' }))).toEqual({
      color: [`must be one of ${tagColors.join(', ')}, got "pink"`],
    })
    const drawn = new Set<string>()
    for (let at = 0; at < 60 && drawn.size < 2; at++) {
      drawn.add((await createTag(as('Alex'), { title: `drawn ${at}` })).color)
    }
    expect(drawn.size).toBe(2)
    expect(tagColors).toEqual(expect.arrayContaining([...drawn]))
  })

  test('a title is unique, whatever its case; its own tag may keep it', async () => {
    const tag = await createTag(as('Alex'), { title: 'Größe' })
    for (const title of ['größe', 'GRÖSSE'.replace('SS', 'ß'), ' Größe ', 'Gro\u0308ße']) {
      const { status, text } = await create({ title })
      expect([status, text.includes(tag.handle)], title).toEqual([409, true])
    }
    const other = await createTag(as('Alex'), { title: 'Weight' })
    const update = (target: ShortTag, body: object) =>
      as('Alex').call('PUT', `/api/tags/${target.handle}`, body)
    expect((await update(other, { title: 'größe' })).status).toBe(409)
    expect((await update(tag, { title: 'GRÖßE' })).status).toBe(200)
  })

  test('two that come at once are told apart', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => create({ title: 'At once' })))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(7).fill(409)])
  })

  test('an update leaves alone what it leaves out', async () => {
    const before = await createTag(as('Alex'), { title: 'Whole', description: 'd', color: 'plum' })
    const answer = await as('Jie').json('PUT', `/api/tags/${before.handle}`, { title: 'Part' })
    expect(answer).toEqual({ data: { ...before, title: 'Part' } })
    const [listed] = await listTags(as('Jie'), `?q[handle_in]=${before.handle}&includes[]=author`)
    expect(listed?.author?.name).toBe('Alex')
  })

  test('an unknown handle is 404, an unknown field 400 with a hint', async () => {
    const missing = await as('Alex').call('PUT', '/api/tags/tag-ANrzJTFF-wczhaW', { title: 'x' })
    expect([missing.status, JSON.parse(missing.text)]).toEqual([
      404,
      { message: 'no tag has this handle, got "tag-ANrzJTFF-wczhaW"', errors: {} },
    ])
    expect(errorsOf(await create({ title: 'x', colour: 'red' }))).toEqual({
      colour: ['is not known here, did you mean `color`?'],
    })
  })
})
