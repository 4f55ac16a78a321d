/** Bodies of events that come at the same time: each is taken whole or not at all, within the room. */
import { expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { arrived, postEvents, postedStream, streamsConfig, streamView } from '../support/streams.ts'

const MIB = 1024 * 1024
const spool = { max_bytes: 3 * MIB, when_full: 'drop_newest' }
const batch = { max_bytes: 100_000, max_wait_ms: 20 }
const deploy = (id: number, more: object = {}) => ({ type: 'deploy', id, ...more })

async function startWithoutReceiver(more: object = {}) {
  const receiver = await startReceiver()
  await receiver.stop()
  const config = streamsConfig(receiver.url, [postedStream('jobs', ['deploy'], { spool, batch, ...more })])
  return { receiver, config, gateway: await startTestGateway({ config }) }
}

/** A body of `count` events of a kilobyte each. */
const kilobytes = (count: number, from: number) =>
  JSON.stringify(Array.from({ length: count }, (_, at) => deploy(from + at, { text: 'x'.repeat(1000) })))

async function bytesOf(gateway: TestGateway): Promise<number> {
  const { legs } = await streamView(gateway, 'jobs')
  return legs.reduce((sum, { waiting_bytes }) => sum + waiting_bytes, 0)
}

test('a body that finds no room takes nothing of the others with it', async () => {
  const { receiver, config, gateway } = await startWithoutReceiver()
  let refused = 0
  let accepted = 0
  const large = postEvents(gateway, kilobytes(4000, 100_000)).then(({ status }) => {
    refused = status
  })
  while (refused === 0) {
    const { status } = await postEvents(gateway, JSON.stringify(deploy(accepted)))
    expect(status).toBe(202)
    accepted += 1
  }
  await large
  expect(refused).toBe(507)
  await gateway.kill9()
  const again = await startTestGateway({ config, folder: gateway.folder })
  expect((await streamView(again, 'jobs')).counts).toMatchObject({ captured: accepted, waiting: accepted })
  await receiver.start()
  const ids = (await arrived(receiver, 'jobs', accepted)).map(({ id }) => id)
  expect(ids).toEqual(Array.from({ length: accepted }, (_, at) => at))
})

test('bodies that come together do not fill more than the spool', async () => {
  const { gateway } = await startWithoutReceiver()
  const bodies = [0, 1, 2, 3].map((at) => postEvents(gateway, kilobytes(2000, at * 10_000)))
  const statuses = (await Promise.all(bodies)).map(({ status }) => status)
  expect(statuses.toSorted()).toEqual([202, 507, 507, 507])
  expect(await bytesOf(gateway)).toBeLessThanOrEqual(spool.max_bytes)
  expect((await streamView(gateway, 'jobs')).counts.waiting).toBe(2000)
})
