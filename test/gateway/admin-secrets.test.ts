/** No token that the admin port knows or is shown comes out of it again. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { adminConfig, FakeCommands, startTestAdmin, tokens } from '../support/admin.ts'
import { tempDir } from '../support/files.ts'

const guess = 'guessed-canary-3c1f9e77'

test('no token stands in an answer or in the log', async () => {
  const { ask, commands, logged, url } = await startTestAdmin()
  const emitted: string[] = []
  const note = async (response: Response) => {
    emitted.push(JSON.stringify([...response.headers]), await response.text())
  }
  const request = async (method: string, path: string, token: string, body?: string) => {
    const authorization = `Bearer ${token}`
    const headers = { authorization, cookie: `session=${token}`, 'content-type': 'application/json' }
    await note(await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) }))
  }
  const { paths } = (await ask('GET', '/api/openapi.json')).json as { paths: Record<string, object> }
  for (const [path, operations] of Object.entries(paths)) {
    for (const method of Object.keys(operations)) {
      for (const token of Object.values(tokens)) {
        await request(method.toUpperCase(), path.replace('{name}', 'salt'), token)
      }
    }
  }
  commands.failure = new Error(`a failure that quotes Bearer ${tokens.admin}`)
  await request('GET', '/api/mirrors/salt', tokens.admin)
  await request('PUT', '/api/logging', tokens.admin, `{"level":"info", "${'x'.repeat(10)}`)
  await request('DELETE', '/api/status', tokens.admin)
  for (let count = 0; count < 12; count += 1) await request('GET', '/api/status', guess)
  const all = emitted.join('\n') + logged()
  expect(all).toContain('the token is not known here')
  expect(all).toContain('address locked')
  for (const secret of [...Object.values(tokens), guess]) expect(all).not.toContain(secret)
})

test('a change is logged with the name of its client, and without the token', async () => {
  const { ask, logged } = await startTestAdmin()
  await ask('POST', '/api/mirrors/salt/pause', { as: 'operator' })
  await ask('GET', '/api/mirrors/salt', { as: 'viewer' })
  const lines = logged()
    .split('\n')
    .filter((line) => line.includes('admin request'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({
    client: 'operator',
    method: 'POST',
    route: '/api/mirrors/:name/pause',
    params: { name: 'salt' },
    status: 200,
  })
})

test('the generated token stands in its file only', async () => {
  const commands = new FakeCommands()
  commands.adminConfig = adminConfig({ clients: [] })
  const folder = await tempDir()
  const { ask, logged } = await startTestAdmin(commands, folder)
  const token = (await readFile(join(folder, 'admin-token'), 'utf8')).trim()
  const answers = await Promise.all(
    ['/api/status', '/api/openapi.json', '/api/mirrors', '/metrics'].map((path) =>
      ask('GET', path, { as: null, headers: { authorization: `Bearer ${token}` } }),
    ),
  )
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  for (const { text } of answers) expect(text).not.toContain(token)
  expect(logged()).not.toContain(token)
})
