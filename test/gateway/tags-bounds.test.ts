/** Tags and assignments have an upper bound, and a full store of them still answers and can be emptied. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { Store } from '../../src/store/store.ts'
import type { TagCommand } from '../../src/store/tags.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway } from '../support/gateway.ts'
import { assignTags, listTags } from '../support/tags.ts'
import { startUpstream } from '../support/upstream.ts'

/** All assignments are those of the first tag; one tag less than there may be. */
async function fill(folder: string): Promise<void> {
  const dataDir = join(folder, 'data')
  await mkdir(dataDir, { mode: 0o700 })
  const store = new Store(dataDir)
  const author = { id: 1, name: 'ann' }
  const tags = Array.from({ length: limits.tags_max - 1 }, (_, at): TagCommand => {
    const fields = { title: `tag ${at}`, description: '', color: 'blue' as const, author }
    return { type: 'tag', handle: `tag-${at}`, fields: { ...fields, created_at: 1, updated_at: 1 } }
  })
  const assignments = Array.from({ length: limits.tag_assignments_max }, (_, at): TagCommand => {
    return { type: 'tag_assignment', handle: 'tag-0', taggable: { type: 'recipe', id: String(at) }, at: 1 }
  })
  await store.apply([...tags, ...assignments])
  await store.close()
}

test('one more than there may be is refused, and room is made by deleting', async () => {
  const folder = await tempDir()
  await fill(folder)
  const upstream = await startUpstream()
  const collections = [{ name: 'orders', upstreams: [{ url: upstream.url }] }]
  const { admin } = await startTestGateway({ folder, config: { collections } })
  const create = (title: string) => admin.call('POST', '/api/tags', { title })
  expect((await create('the last')).status).toBe(200)
  const refused = await create('one more')
  expect([refused.status, refused.text]).toEqual([
    422,
    JSON.stringify({ message: 'there must be at most 2000 tags, got one more', errors: {} }),
  ])

  const assign = (body: object) => admin.call('POST', '/api/tags_assignments', body)
  expect((await assign({ add_tags: ['tag-1'], page_ids: [1] })).status).toBe(422)
  await assignTags(admin, { add_tags: ['tag-0'], recipe_ids: [0] })
  await assignTags(admin, { remove_tags: ['tag-0'], recipe_ids: [0] })
  await assignTags(admin, { add_tags: ['tag-1'], page_ids: [1] })
  const [first] = await listTags(
    admin,
    '?sort_by=assignment_count&sort_direction=desc&includes=assignment_count',
  )
  expect(first).toMatchObject({ handle: 'tag-0', assignment_count: limits.tag_assignments_max - 1 })

  expect((await admin.call('DELETE', '/api/tags/tag-0')).status).toBe(200)
  expect((await create('one more')).status).toBe(200)
  await assignTags(admin, { add_tags: ['tag-1'], recipe_ids: [1] })
  expect(await listTags(admin, '?q[only_assigned]=true')).toHaveLength(1)
})
