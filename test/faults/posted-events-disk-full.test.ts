/** Events posted to a full disk: 507, nothing of a body is kept, and all goes on once there is room. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fillUp } from '../activity/fill.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { ask } from '../support/resources.ts'
import { arrived, stream, streamed, streamsConfig, streamView } from '../support/streams.ts'
import { startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'
import { canMount, mountSmall } from './mount.ts'

const MIB = 1024 * 1024
const mounting = test.skipIf(!canMount)

/** Jobs with these ids, of so many bytes each. */
const jobs = (name: string, count: number, bytes = 100) =>
  Array.from({ length: count }, (_, at) => ({
    id: `${name}-${at}`,
    status: 'failed',
    note: 'x'.repeat(bytes),
  }))
const idsOf = (events: readonly object[]) => events.map((event) => (event as { id: string }).id)

const post = (gateway: TestGateway, body: object) => ask(gateway, 'POST', '/api/events', { body })

mounting('nothing is half stored, and forwarding goes on (needs root to mount)', async () => {
  const [receiver, upstream] = [await startReceiver(), await startUpstream()]
  const folder = await tempDir()
  const data = join(folder, 'data')
  mountSmall(data, 32 * MIB)
  const streams = ['jobs', 'copies'].map((name) => stream(name, { events: ['job_summary'], match: {} }))
  const collections = [{ name: 'orders', upstreams: [{ url: upstream.url }] }]
  const config = { ...streamsConfig(receiver.url, streams), collections }
  let gateway = await startTestGateway({ config, folder })
  const first = jobs('first', 3)
  expect((await post(gateway, first)).status).toBe(202)
  for (const { name } of streams as { name: string }[]) await streamed(gateway, name, 3)
  const countsOf = async (of: TestGateway) =>
    Promise.all(['jobs', 'copies'].map(async (name) => (await streamView(of, name)).counts))
  const before = await countsOf(gateway)

  // Room for the frames of one stream, not for those of two: what was written first is taken back.
  const half = jobs('half', 10, 100_000)
  const nearly = await fillUp(data, 1.75 * MIB)
  const refused = await post(gateway, half)
  expect(refused.status).toBe(507)
  expect(refused.json['message']).toMatch(/^the disk refuses: ENOSPC/)
  await gateway.kill9()
  await rm(nearly)
  gateway = await startTestGateway({ config, folder })
  expect(await countsOf(gateway)).toEqual(before)

  const filler = await fillUp(data, 0)
  // A small body is held in memory, a large one goes over a file; they follow each other on a connection.
  for (let round = 0; round < 6; round += 1) {
    const body = round % 2 === 0 ? jobs('small', 2) : jobs('large', 60, 100_000)
    const { status, json } = await post(gateway, body)
    expect(status).toBe(507)
    expect(json['message']).toMatch(/full|no room|refuses/)
    expect((await fetch(`${gateway.url}/still`)).status).toBe(200)
  }
  expect(await countsOf(gateway)).toEqual(before)

  await rm(filler)
  await until(async () => (await post(gateway, half)).status === 202, { what: 'events are taken again' })
  const last = jobs('last', 4)
  expect((await post(gateway, last)).status).toBe(202)
  const wanted = idsOf([...first, ...half, ...last])
  for (const name of ['jobs', 'copies']) {
    expectIdentity(await streamed(gateway, name, wanted.length))
    const ids = idsOf(await arrived(receiver, name, wanted.length))
    // What was delivered within 200 ms of the kill is not noted yet, and comes again: in order, and whole.
    const repeated = idsOf(first)
    const twice = ids.slice(0, 2 * repeated.length).join() === [...repeated, ...repeated].join()
    expect(twice ? ids.slice(repeated.length) : ids).toEqual(wanted)
  }

  const after = await countsOf(gateway)
  const again = await fillUp(data, 0)
  expect(await gateway.stop(), 'a stop on the full disk').toBe(0)
  await rm(again)
  gateway = await startTestGateway({ config, folder })
  expect(await countsOf(gateway)).toEqual(after)
})
