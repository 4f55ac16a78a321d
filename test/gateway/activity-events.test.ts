/** What is done by API, in sessions and with secrets is told under the types that the documentation lists. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type ActivityEvent, activityEvents } from '../../src/contract/activity-events.ts'
import { startBed } from '../faults/bed.ts'
import { entriesCome, entriesOf } from '../support/activity.ts'
import { tempDir } from '../support/files.ts'
import type { TestGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const canary = 'canary-of-a-secret-0c7d'

/** Puts a secret where the provider looks, at once as a whole. */
async function mount(folder: string, text: string): Promise<void> {
  await writeFile(join(folder, 'token.new'), text)
  await rename(join(folder, 'token.new'), join(folder, 'token'))
}

async function changeClients({ admin }: TestGateway): Promise<void> {
  const made = await admin.json<{ id: number }>('POST', '/api/clients', { name: 'auditor', role: 'viewer' })
  await admin.json('PATCH', `/api/clients/${made.id}`, { role: 'operator' })
  await admin.json('POST', `/api/clients/${made.id}/rotate`)
  await admin.call('DELETE', `/api/clients/${made.id}`)
}

async function signInAndOut({ adminPort }: TestGateway, token: string): Promise<void> {
  const url = `http://127.0.0.1:${adminPort}/api/session`
  const headers = { 'content-type': 'application/json' }
  const opened = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ token }) })
  const { csrf_token } = (await opened.json()) as { csrf_token: string }
  const cookie = opened.headers.get('set-cookie')?.split(';')[0] ?? ''
  const own = { cookie, 'x-csrf-token': csrf_token, origin: `http://127.0.0.1:${adminPort}` }
  expect((await fetch(url, { method: 'DELETE', headers: own })).status).toBe(204)
}

async function changeTags({ admin }: TestGateway): Promise<void> {
  const { data } = await admin.json<{ data: { handle: string } }>('POST', '/api/tags', { title: 'mine' })
  const { handle } = data
  await admin.json('PUT', `/api/tags/${handle}`, { title: 'yours' })
  await admin.call('POST', '/api/tags_assignments', { add_tags: [handle], mirrors: ['salt'] })
  await admin.call('DELETE', `/api/tags/${handle}`)
}

async function changeConfiguration({ admin }: TestGateway): Promise<void> {
  const things = {
    collections: { name: 'books', prefix: '/books', upstreams: [{ url: 'http://127.0.0.1:1' }] },
    connections: { name: 'other', headers: { Authorization: `Bearer ${canary}` } },
    mirrors: { name: 'beside', sink: 'blackhole' },
  }
  const changes = {
    collections: { prefix: '/b' },
    connections: { headers: null },
    mirrors: { enabled: false },
  }
  for (const kind of ['collections', 'connections', 'mirrors'] as const) {
    await admin.json('POST', `/api/${kind}`, things[kind])
    const path = `/api/${kind}/${things[kind].name}`
    expect([kind, (await admin.call('PATCH', path, changes[kind])).status]).toEqual([kind, 200])
    await admin.call('DELETE', path)
  }
}

test('every change by API is one entry of its type, by who made it, and no secret is in any', async () => {
  const root = await tempDir()
  await mount(root, canary)
  const { gateway, send, sees } = await startBed({
    connection: { headers: { Authorization: 'Bearer ${secret:mounted:token}' } },
    rest: { secrets: { providers: [{ name: 'mounted', provider: 'file', root }] } },
  })
  await send(1)
  await sees('it is delivered with the secret', ({ counts }) => counts.delivered === 2)
  await mount(root, `${canary}-2`)
  // It is read again for the first delivery after the folder was seen to change.
  const refreshed = await until(
    async () => {
      await send(1)
      const found = await entriesOf(gateway, 'secret_refreshed')
      return found.length > 0 && found
    },
    { what: 'the changed secret is told', every_ms: 100 },
  )
  expect(refreshed).toMatchObject([{ user: { id: 0 }, resource: { name: '${secret:mounted:token}' } }])
  await gateway.admin.json('POST', '/api/secrets_management/clear_cache')
  await changeClients(gateway)
  await changeTags(gateway)
  await changeConfiguration(gateway)
  const token = (await readFile(join(gateway.dataDir, 'admin-token'), 'utf8')).trim()
  await signInAndOut(gateway, token)
  await gateway.admin.call('GET', '/api/activity_logs/export?format=ndjson')

  const expected: readonly (readonly [ActivityEvent, string])[] = [
    ['secrets_cache_cleared', 'all'],
    ['client_created', 'auditor'],
    ['client_updated', 'auditor'],
    ['client_rotated', 'auditor'],
    ['client_deleted', 'auditor'],
    ['tag_created', 'mine'],
    ['tag_updated', 'yours'],
    ['tags_assigned', 'yours'],
    ['tag_deleted', 'yours'],
    ['collection_created', 'books'],
    ['collection_updated', 'books'],
    ['collection_deleted', 'books'],
    ['connection_created', 'other'],
    ['connection_updated', 'other'],
    ['connection_deleted', 'other'],
    ['mirror_created', 'beside'],
    ['mirror_updated', 'beside'],
    ['mirror_deleted', 'beside'],
    ['user_login', 'mirrorgate'],
    ['user_logout', 'mirrorgate'],
    ['activity_exported', 'dev'],
  ]
  await entriesCome(gateway, 'activity_exported', 1)
  const entries = await entriesOf(gateway)
  const from = entries.findIndex(({ event_type }) => event_type === 'secrets_cache_cleared')
  const told = entries.slice(from)
  expect(told.map(({ event_type, resource }) => [event_type, resource.name])).toEqual(expected)
  for (const { event_type, user, resource, details } of told) {
    expect([event_type, resource.type]).toEqual([
      event_type,
      activityEvents[event_type as ActivityEvent].resource,
    ])
    expect([event_type, user.name]).toEqual([event_type, 'admin-token'])
    expect([event_type, details.request?.ip_address]).toEqual([event_type, '127.0.0.1'])
  }
  expect(told.at(-3)?.details.activity).toBe('session_login')
  expect(JSON.stringify(entries)).not.toContain(canary)
  expect(JSON.stringify(entries)).not.toContain(token)
})
