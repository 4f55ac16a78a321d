/** Segments of posted events: nobody holds one open, each goes with its stream, none keeps refused events. */
import { mkdir, readdir, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { canMount, mountWithoutInodes } from '../faults/mount.ts'
import { sharedTestGateway, type TestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { postEvents, postedStream, streamed, streamsConfig, streamView } from '../support/streams.ts'
import { until } from '../support/wait.ts'

const deploy = (id: number) => JSON.stringify({ type: 'deploy', id })
const configured = sharedTestGateway()

/** Where a stream has its segments; each test has a stream of its own. */
const folderOf = (gateway: TestGateway, name: string) => join(gateway.dataDir, 'streams', name, 'events')

async function segmentsOf(gateway: TestGateway, name: string): Promise<string[]> {
  return (await readdir(folderOf(gateway, name))).filter((name) => name.endsWith('.seg')).sort()
}

async function openSegments(pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/fd`
  const links = (await readdir(folder)).map((name) => readlink(join(folder, name)).catch(() => ''))
  return (await Promise.all(links)).filter((link) => link.includes('/events/'))
}

test('a segment goes on with the next body, and goes with its stream', async () => {
  const receiver = await startReceiver()
  const streams = [postedStream('going', ['deploy']), postedStream('others', ['deploy'])]
  const gateway = await configured(streamsConfig(receiver.url, streams))
  for (const id of [1, 2, 3]) expect((await postEvents(gateway, deploy(id))).status).toBe(202)
  await streamed(gateway, 'going', 3)
  expect(await segmentsOf(gateway, 'going')).toHaveLength(1)
  if (process.platform === 'linux') expect(await openSegments(gateway.pid)).toEqual([])
  await configured(streamsConfig(receiver.url, streams.slice(1)))
  await until(async () => (await segmentsOf(gateway, 'going')).length === 0, { what: 'its segment is gone' })
})

test('a smaller spool ends the segment that is too large for it, and its file goes', async () => {
  const receiver = await startReceiver()
  const withSpool = (max_bytes: number) =>
    streamsConfig(receiver.url, [
      postedStream('shrinking', ['deploy'], {
        spool: { max_bytes },
        batch: { max_bytes: 50_000, max_wait_ms: 20 },
      }),
    ])
  const gateway = await configured(withSpool(100_000_000))
  const text = 'x'.repeat(1000)
  const many = JSON.stringify(Array.from({ length: 200 }, (_, id) => ({ type: 'deploy', id, text })))
  expect((await postEvents(gateway, many)).status).toBe(202)
  await streamed(gateway, 'shrinking', 200)
  const before = await segmentsOf(gateway, 'shrinking')
  await configured(withSpool(1_048_576))
  expect((await postEvents(gateway, deploy(200))).status).toBe(202)
  const view = await streamed(gateway, 'shrinking', 201)
  await until(async () => !(await segmentsOf(gateway, 'shrinking')).includes(before[0] ?? ''), {
    what: 'it is gone',
  })
  expect(view.counts.captured).toBe(201)
})

test('refused events that cannot be taken back are told of, and the next body finds a segment', async () => {
  const receiver = await startReceiver()
  await receiver.stop()
  const gateway = await configured(streamsConfig(receiver.url, [postedStream('refused', ['deploy'])]))
  expect((await postEvents(gateway, deploy(1))).status).toBe(202)
  const [segment = ''] = await segmentsOf(gateway, 'refused')
  await rm(join(folderOf(gateway, 'refused'), segment))
  await mkdir(join(folderOf(gateway, 'refused'), segment))
  const refused = await postEvents(gateway, deploy(2))
  expect([refused.status, refused.json['message']]).toEqual([507, expect.stringContaining('EISDIR')])
  await until(
    () => gateway.logs().some(({ msg }) => String(msg).startsWith('refused events cannot be taken back')),
    { what: 'it is told' },
  )
  expect((await postEvents(gateway, deploy(3))).status).toBe(202)
  expect((await segmentsOf(gateway, 'refused')).filter((name) => name !== segment)).toHaveLength(1)
  expect((await streamView(gateway, 'refused')).counts.captured).toBe(2)
})

test('a body that is refused leaves no file of its own', async () => {
  const receiver = await startReceiver()
  await receiver.stop()
  const more = { spool: { max_bytes: 1_048_576, when_full: 'drop_newest' }, batch: { max_bytes: 50_000 } }
  const gateway = await configured(
    streamsConfig(receiver.url, [postedStream('taken-back', ['deploy'], more)]),
  )
  expect((await postEvents(gateway, deploy(1))).status).toBe(202)
  const before = await segmentsOf(gateway, 'taken-back')
  const text = 'x'.repeat(1000)
  const large = JSON.stringify(Array.from({ length: 1500 }, (_, id) => ({ type: 'deploy', id, text })))
  expect((await postEvents(gateway, large)).status).toBe(507)
  expect(await segmentsOf(gateway, 'taken-back')).toEqual(before)
  expect((await postEvents(gateway, deploy(2))).status).toBe(202)
  expect((await streamView(gateway, 'taken-back')).counts.waiting).toBe(2)
})

test.skipIf(!canMount)('a large body that finds no inode is told so (needs root to mount)', async () => {
  const receiver = await startReceiver()
  const gateway = await configured(streamsConfig(receiver.url, [postedStream('large', ['deploy'])]))
  mountWithoutInodes(join(gateway.dataDir, 'posted'))
  const large = JSON.stringify({ type: 'deploy', id: 1, text: 'x'.repeat(2_000_000) })
  const { status, json } = await postEvents(gateway, large)
  expect([status, json['message']]).toEqual([507, 'the disk is full'])
  expect((await postEvents(gateway, deploy(2))).status).toBe(202)
})
