/** Every request that writes, on a full disk: refused with 507 and no trace, done once there is room. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fillUp } from '../activity/fill.ts'
import { canMount, mountSmall } from '../faults/mount.ts'
import { smallestCall } from '../support/calls.ts'
import { type Call, Documented, type Got } from '../support/documented.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway } from '../support/gateway.ts'
import { operationsOf } from '../support/openapi.ts'

const MIB = 1024 * 1024
const mounting = test.skipIf(!canMount)

/** What is not driven here, each with its reason. */
const exceptions: Readonly<Record<string, string>> = {
  'POST /api/events': 'writes segments, not the store: test/faults/posted-events-disk-full.test.ts',
  ...Object.fromEntries(
    ['v2', 'v3'].flatMap((version) => [
      [
        `PATCH /${version}/audit-log-destinations/{id}`,
        'a connection, which is driven here, by another name',
      ],
      ...['', '/portals/{portalId}'].flatMap((portal) => [
        [`PATCH /${version}${portal}/audit-log-webhook`, 'a stream, which is driven here, by another name'],
        [`DELETE /${version}${portal}/audit-log-webhook`, 'the same'],
        [`PUT /${version}${portal}/audit-log-replay-job`, 'needs a webhook that is enabled'],
      ]),
    ]),
  ),
}

/** What is done all the same, each with its reason. */
const goesOn: Readonly<Record<string, string>> = {
  'POST /api/config/check': 'changes nothing',
  'POST /api/streams/preview': 'changes nothing',
  'POST /api/notifications/test': 'is told if it can be: it changes nothing',
  'POST /api/capture/resume': 'capture goes on already',
  ...Object.fromEntries(
    ['mirrors', 'streams'].flatMap((kind) => [
      [`POST /api/${kind}/{name}/test`, 'is told if it can be'],
      [`POST /api/${kind}/{name}/replay`, 'is told if it can be: deliveries free the disk'],
      [`POST /api/${kind}/{name}/dead-letters/replay`, 'there are none'],
      [`DELETE /api/${kind}/{name}/dead-letters`, 'is told if it can be: it frees the disk'],
      [`DELETE /api/${kind}/{name}/backlog`, 'is told if it can be: it frees the disk'],
    ]),
  ),
  'POST /api/secrets_management/clear_cache': 'is told if it can be: what is cached is in memory',
  'POST /api/config/reload': 'is told if it can be: the file is elsewhere',
  'PUT /api/logging': 'is told if it can be: a full disk is when people look closer',
  'POST /api/session': 'is told if it can be: whoever comes to help must be let in',
  'DELETE /api/session': 'is told if it can be: sessions are in memory',
}

/** Bodies that change something, where the smallest one does not. */
const changes: Readonly<Record<string, object>> = {
  'PATCH /api/collections/{name}': { strip_prefix: true },
  'PATCH /api/mirrors/{name}': { enabled: false },
  'PATCH /api/streams/{name}': { enabled: false },
  'PUT /api/connections/{name}': { case_sensitive_headers: true },
  'PATCH /api/connections/{name}': { case_sensitive_headers: true },
  'PATCH /api/clients/{id}': { name: 'another' },
}

/** What must have been done before, so that an operation changes something: the end of its path. */
const undone: Readonly<Record<string, string>> = { resume: 'pause', connect: 'disconnect' }

async function callsOf(world: Documented): Promise<[id: string, call: Call][]> {
  const calls: [string, Call][] = []
  for (const placed of operationsOf(world.api)) {
    const { id, method, path } = placed
    if (method === 'GET' || id in exceptions) continue
    const call = await smallestCall(world, placed)
    const body = changes[id]
    calls.push([id, body === undefined ? call : { ...call, headers: {}, body }])
    const [, thing, act = ''] = /^(.*\/)(\w+)$/.exec(call.path) ?? []
    const first = path.includes('{name}') ? undone[act] : undefined
    if (first !== undefined) expect((await world.send({ ...call, path: thing + first })).status).toBe(200)
  }
  return calls
}

type Ask = (path: string) => Promise<unknown>

/** What people see of all that can be written. */
async function stateOf(ask: Ask): Promise<{ things: unknown; entries: number }> {
  const paths = ['/api/tags', '/api/clients', '/api/connections', '/api/collections', '/api/config/export']
  const seen = await Promise.all(paths.map(ask))
  const { total } = (await ask('/api/activity_logs?page[size]=1')) as { total: number }
  const text = JSON.stringify(seen)
  // Counted in memory, and told by the moment.
  const moments = /"(last_used_at|requests|failures|requests_in_flight)":[^,}]*/g
  return { things: JSON.parse(text.replace(moments, '"$1":null')), entries: total }
}

mounting('nothing is half written, and forwarding goes on (needs root to mount)', async () => {
  const folder = await tempDir()
  const data = join(folder, 'data')
  mountSmall(data, 32 * MIB)
  const world = await Documented.start({ folder })
  const { gateway } = world
  const read = async ({ admin }: typeof gateway, path: string) => {
    const { status, text } = await admin.call('GET', path)
    expect(status, path).toBe(200)
    return text.startsWith('{') ? (JSON.parse(text) as unknown) : text
  }
  const calls = await callsOf(world)
  const before = await stateOf((path) => read(gateway, path))

  const filler = await fillUp(data, 0)
  const full = new Map<string, Got>()
  for (const [id, call] of calls) full.set(id, await world.send(call))
  const wrong = [...full].filter(([id, { status }]) => (id in goesOn ? status >= 300 : status !== 507))
  expect(wrong).toEqual([])
  expect(await stateOf((path) => read(gateway, path))).toEqual(before)
  expect((await fetch(`${gateway.url}/still`)).status).toBe(200)

  await rm(filler)
  const refused: unknown[] = []
  for (const [id, call] of calls) {
    const { status, text } = await world.send(call)
    if (status >= 300) refused.push([id, status, text])
  }
  expect(refused, 'the same requests, with room').toEqual([])
  const after = await stateOf((path) => read(gateway, path))
  expect(after.entries).toBeGreaterThan(before.entries)
  await gateway.stop()
  const again = await startTestGateway({ yaml: await readFile(gateway.configFile, 'utf8'), folder })
  expect((await stateOf((path) => read(again, path))).things, 'after a restart').toEqual(after.things)
})
