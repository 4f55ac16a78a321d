/** Two environments in one log: the clients of one see, count and write nothing of the other. */
import { beforeAll, expect, test } from 'vitest'
import { AdminClient } from '../../demo/admin-client.ts'
import { path, someActivity } from '../support/activities.ts'
import { startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'

const clients = [
  { name: 'dev-admin', token: 'token-of-dev-admin', role: 'admin', environment: 'dev' },
  { name: 'prod-admin', token: 'token-of-prod-admin', role: 'admin', environment: 'prod' },
  { name: 'prod-systems', token: 'token-of-prod-systems', role: 'operator', environment: 'prod' },
]
let dev: AdminClient
let prod: AdminClient
let systems: AdminClient

interface Page {
  data: { id: number; event_type: string; workspace: { environment: string } }[]
  total: number
}
const probes = async (client: AdminClient) => {
  const page = await client.json<Page>('GET', `${path}?include_event_types[]=probe`)
  expect(page.total).toBe(page.data.length)
  return page.data.map(({ id }) => id)
}
const add = async (client: AdminClient, over: object = {}) => {
  const { data } = await client.json<{ data: { ids: number[] } }>(
    'POST',
    path,
    someActivity({ event_type: 'probe', ...over }),
  )
  return data.ids[0] as number
}

beforeAll(async () => {
  const { url } = await startUpstream()
  const gateway = await startTestGateway({
    config: {
      environment: 'test',
      workspace: { id: 77, name: 'Ours', email: 'ours@example.com' },
      collections: [{ name: 'orders', upstreams: [{ url }] }],
      admin: { clients },
    },
  })
  const [first, second, third] = clients.map(({ token }) => new AdminClient(gateway.adminPort, token))
  dev = first as AdminClient
  prod = second as AdminClient
  systems = third as AdminClient
})

test('an entry is of the environment of its client, and only there', async () => {
  const inDev = await add(dev)
  const inProd = [await add(prod), await add(systems, { workspace: { environment: 'prod' } })]
  expect(await probes(dev)).toEqual([inDev])
  expect(await probes(prod)).toEqual([...inProd].reverse())
  expect(await probes(systems)).toEqual([...inProd].reverse())

  expect((await prod.call('GET', `${path}/${inDev}`)).status).toBe(404)
  const own = await dev.json<{ workspace: object }>('GET', `${path}/${inDev}`)
  expect(own.workspace).toEqual({ id: 77, name: 'Ours', email: 'ours@example.com', environment: 'dev' })

  const { by_type } = await dev.json<{ by_type: Record<string, number> }>('GET', `${path}/stats`)
  expect(by_type['probe']).toBe(1)
  for (const format of ['ndjson', 'csv']) {
    const { text } = await dev.call('GET', `${path}/export?format=${format}`)
    expect(text.match(/\bprobe\b/g)).toHaveLength(1)
    expect(text).not.toMatch(/"environment":"prod"|,prod,/)
  }
})

test('nobody writes into the log of another environment, not even in part', async () => {
  const before = [await probes(dev), await probes(prod)]
  const foreign = someActivity({ event_type: 'probe', workspace: { environment: 'prod' } })
  for (const body of [foreign, [someActivity({ event_type: 'probe' }), foreign]]) {
    const { status, text } = await dev.call('POST', path, body)
    expect([status, JSON.parse(text)]).toEqual([
      403,
      { message: 'workspace.environment must be dev, the one of this client, got prod', errors: {} },
    ])
  }
  expect([await probes(dev), await probes(prod)]).toEqual(before)
})
