/** Each client sees the activity log of its own environment, and writes into no other. */
import { expect, test } from 'vitest'
import { adminConfig, FakeCommands, startTestAdmin, tokens } from '../support/admin.ts'
import { bearer, makeClient, send } from '../support/clients.ts'

const entry = (name: string) => ({
  event_type: 'recipe_updated',
  user: { id: 7, name },
  resource: { id: 1, name, type: 'Flow' },
})

test('what a client writes is seen by clients of its environment alone', async () => {
  const admin = await startTestAdmin()
  const prod = await makeClient(admin, 'prod-siem', { role: 'operator', environment: 'prod' })
  const dev = await makeClient(admin, 'dev-siem', { role: 'operator' })
  for (const { token } of [prod, dev]) {
    const name = token === prod.token ? 'of prod' : 'of dev'
    expect((await send(admin, 'POST', '/api/activity_logs', entry(name), token)).status).toBe(202)
  }
  const seenBy = async (token: string) => {
    const { json } = await admin.ask('GET', '/api/activity_logs?include_resource_types[]=Flow', bearer(token))
    const data = json.data as { id: number; resource: { name: string }; workspace: { environment: string } }[]
    return data.map(({ resource, workspace }) => [resource.name, workspace.environment])
  }
  expect(await seenBy(prod.token)).toEqual([['of prod', 'prod']])
  expect(await seenBy(dev.token)).toEqual([['of dev', 'dev']])
  expect(await seenBy(tokens.viewer)).toEqual([['of dev', 'dev']])
  const { json } = await admin.ask('GET', '/api/activity_logs', bearer(prod.token))
  const [newest] = json.data as { id: number }[]
  const path = `/api/activity_logs/${newest?.id}`
  expect((await admin.ask('GET', path, bearer(prod.token))).status).toBe(200)
  expect((await admin.ask('GET', path, bearer(dev.token))).status).toBe(404)
})

test('a client of the file has the environment that the file gives it', async () => {
  const commands = new FakeCommands()
  const [first] = adminConfig().clients
  commands.adminConfig = adminConfig({
    clients: [
      { ...first, name: 'boss', role: 'admin', token: tokens.admin, environment: 'uat' },
      { name: 'other', role: 'viewer', token: tokens.viewer },
    ],
  })
  const admin = await startTestAdmin(commands)
  const { json } = await admin.ask('GET', '/api/clients')
  const data = json.data as { name: string; environment: string }[]
  expect(data.map(({ name, environment }) => [name, environment])).toEqual([
    ['boss', 'uat'],
    ['other', 'dev'],
  ])
  // A client made by API belongs to the environment of who made it, unless told otherwise.
  const made = await send(admin, 'POST', '/api/clients', { name: 'siem', role: 'viewer' })
  expect(made.json.environment).toBe('uat')
})
