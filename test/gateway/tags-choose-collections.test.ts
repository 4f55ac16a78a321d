/** `match: { tags: [...] }`: a mirror sees the collections that bear a tag, by the file or by assignment. */
import { expect, test } from 'vitest'
import type { ReloadResult } from '../../src/admin/commands.ts'
import { startCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway } from '../support/gateway.ts'
import { assignTags, createTag } from '../support/tags.ts'
import { startUpstream } from '../support/upstream.ts'

const unknown = (path: string, handle = 'by-file') =>
  `${path}: no tag has this handle yet, got ${JSON.stringify(handle)}`

async function setUp() {
  const [upstream, collector] = [await startUpstream(), await startCollector()]
  const config = (tags: string[]) => {
    const setup = mirrorConfig({
      upstream: upstream.url,
      collector: collector.url,
      mirror: { match: { tags } },
    })
    const upstreams = [{ url: upstream.url }]
    const collections = [
      { name: 'orders', prefix: '/orders', upstreams, mirrors: ['salt'], tags: ['by-file'] },
      { name: 'carts', prefix: '/carts', upstreams, mirrors: ['salt'] },
    ]
    return { ...setup, collections }
  }
  return { collector, config }
}

test('the file’s tags choose, those of the API join at once, and it lasts over a restart', async () => {
  const { collector, config } = await setUp()
  let gateway = await startTestGateway({ config: config(['by-file']) })
  const problems = gateway.logs().filter(({ msg }) => msg === 'configuration warning')
  expect(problems.map(({ problem }) => problem)).toEqual([
    unknown('collections[0].tags[0]'),
    unknown('mirrors[0].match.tags[0]'),
  ])
  const send = async (path: string) => {
    const response = await fetch(gateway.url + path)
    expect([response.status, await response.text()]).toEqual([200, '{"ok":true}'])
  }
  const paths = () => [...collector.kept()].map(([, { request }]) => request?.request.path).sort()

  await send('/carts/untagged')
  await send('/orders/1')
  await gateway.delivered(1)

  const { handle } = await createTag(gateway.admin, { title: 'Regulated' })
  await gateway.rewrite({ config: config(['by-file', handle, 'later']) })
  const reload = await gateway.admin.json<ReloadResult & { warnings: string[] }>('POST', '/api/config/reload')
  expect(reload.warnings).toEqual([
    unknown('collections[0].tags[0]'),
    unknown('mirrors[0].match.tags[0]'),
    unknown('mirrors[0].match.tags[2]', 'later'),
  ])

  await assignTags(gateway.admin, { add_tags: [handle], collections: ['carts'] })
  await send('/carts/tagged')
  await gateway.delivered(2)

  await assignTags(gateway.admin, { remove_tags: [handle], collections: ['carts'] })
  await send('/carts/taken-off')
  await send('/orders/2')
  await gateway.delivered(3)

  await assignTags(gateway.admin, { add_tags: [handle], collections: ['carts'] })
  expect(await gateway.stop()).toBe(0)
  gateway = await startTestGateway({ config: config([handle]), folder: gateway.folder })
  await send('/orders/not-asked-for')
  await send('/carts/after-restart')
  await gateway.delivered(4)

  expect((await gateway.admin.call('DELETE', `/api/tags/${handle}`)).status).toBe(200)
  await send('/carts/tag-deleted')
  await gateway.rewrite({ config: config([]) })
  await gateway.admin.json('POST', '/api/config/reload')
  await send('/carts/no-rule')
  await gateway.delivered(5)
  expect(paths()).toEqual([
    '/carts/after-restart',
    '/carts/no-rule',
    '/carts/tagged',
    '/orders/1',
    '/orders/2',
  ])
})

test('an assignment that no mirror asks about changes no plan', async () => {
  const { config } = await setUp()
  const gateway = await startTestGateway({ config: config(['by-file']) })
  const { handle } = await createTag(gateway.admin, { title: 'Label' })
  const before = await gateway.admin.status()
  await assignTags(gateway.admin, { add_tags: [handle], collections: ['carts'], mirrors: ['salt'] })
  expect((await gateway.admin.status()).config.generation).toBe(before.config.generation)
})
