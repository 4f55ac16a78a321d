/** What clients are survives the process, a kill too; their tokens are in no file and no line. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AdminClient } from '../../demo/admin-client.ts'
import { startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'

interface Made {
  readonly id: number
  readonly name: string
  readonly token: string
}

const adminToken = 'admin-canary-5e1f0b77'
const viewer = { name: 'watch', role: 'viewer', token: 'viewer-canary-90c4d2a1', environment: 'prod' }

async function contentsOf(folder: string): Promise<Buffer> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = names.filter((entry) => entry.isFile())
  return Buffer.concat(await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)))))
}

test('clients and their numbers outlive a kill and a reload; tokens are kept nowhere', async () => {
  const upstream = await startUpstream()
  const config = (clients: object[]) => ({
    collections: [{ name: 'orders', upstreams: [{ url: upstream.url }] }],
    admin: { clients },
  })
  const boss = { name: 'boss', role: 'admin', token: adminToken }
  const first = await startTestGateway({ config: config([viewer, boss]) })
  const made = await first.admin.json<Made>('POST', '/api/clients', { name: 'siem', role: 'admin' })
  const rotated = await first.admin.json<Made>('POST', `/api/clients/${made.id}/rotate`, {
    overlap_ms: 600_000,
  })
  await first.kill9()

  // Another order in the file, and one more before them: numbers go by name.
  const next = config([{ ...viewer, name: 'new', token: 'another-canary-33d1' }, boss, viewer])
  const second = await startTestGateway({ config: next, folder: first.folder })
  for (const token of [made.token, rotated.token]) {
    const client = new AdminClient(second.adminPort, token)
    expect((await client.call('GET', '/api/status')).status).toBe(200)
  }
  const { data } = await second.admin.json<{ data: Made[] }>('GET', '/api/clients')
  expect(data.map(({ id, name }) => [id, name])).toEqual([
    [1, 'watch'],
    [2, 'boss'],
    [3, 'siem'],
    [4, 'new'],
  ])
  const refused = await second.admin.call('DELETE', '/api/clients/1')
  const lines = (await readFile(second.configFile, 'utf8')).split('\n')
  const line = lines.findIndex((text) => text.includes('name: watch')) + 1
  expect(refused.status).toBe(409)
  expect(refused.text).toContain(`gateway.yaml:${line}: change it there, and reload`)

  await second.rewrite({ config: config([boss]) })
  await second.admin.json('POST', '/api/config/reload')
  const gone = new AdminClient(second.adminPort, viewer.token)
  expect((await gone.call('GET', '/api/status')).status).toBe(401)

  const secrets = [made.token, rotated.token].map((token) => token.slice('mg_'.length))
  const files = await contentsOf(second.dataDir)
  const lines2 = JSON.stringify([...first.logs(), ...second.logs()])
  expect(files.includes('siem')).toBe(true)
  for (const secret of [...secrets, adminToken, viewer.token]) {
    expect(files.includes(secret)).toBe(false)
    expect(lines2).not.toContain(secret)
  }
})
