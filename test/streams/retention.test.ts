/** Entries that retention takes before a stream could send them are lost, counted and told. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openStore } from '../support/admin.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { ask } from '../support/resources.ts'
import {
  happen,
  stream,
  streamed,
  streamsConfig,
  streamView,
  thingNames,
  things,
} from '../support/streams.ts'
import { until } from '../support/wait.ts'

const DAY = 86_400_000

/** A data folder whose log begins with things of long ago. */
async function oldLog(count: number): Promise<string> {
  const folder = await tempDir()
  const store = await openStore(join(folder, 'data'))
  await store.activity.append(
    Array.from({ length: count }, (_, at) => ({
      timestamp: Date.now() - 3 * DAY,
      event_type: 'thing_done',
      workspace: { id: 1, name: 'w', email: 'w@example.com', environment: 'dev' as const },
      user: { id: 7, name: 'Jie', email: 'jie@example.com' },
      details: {},
      resource: { id: at, name: `thing-${at}`, type: 'Flow' },
    })),
  )
  await store.close()
  return folder
}

test('what is gone is dropped as expired, to the entry; what stands is sent', async () => {
  const receiver = await startReceiver()
  await receiver.stop()
  const streams = [stream('siem', { start: 'beginning' })]
  const config = streamsConfig(receiver.url, streams)
  const first = await startTestGateway({ config, folder: await oldLog(333) })
  await happen(first, 20, 333)
  await until(async () => (await streamView(first, 'siem')).counts.waiting === 353, { what: 'all wait' })
  // Otherwise it is chance whether a batch is on its way, and kept in memory, when retention comes.
  await ask(first, 'POST', '/api/streams/siem/pause')
  await first.stop()
  const second = await startTestGateway({
    config: streamsConfig(receiver.url, streams, { activity: { retention_ms: DAY } }),
    folder: first.folder,
  })
  await until(() => second.logs().some(({ msg }) => msg === 'old activity removed'), {
    what: 'retention has come',
  })
  await receiver.start()
  await ask(second, 'POST', '/api/streams/siem/resume')
  const view = await streamed(second, 'siem', 20)
  expect(view.counts).toMatchObject({ captured: 353, delivered: 20, dropped: { expired: 333 } })
  expect(things(receiver.events('/siem'))).toEqual(thingNames(20, 333))
  await second.stop()
  const third = await startTestGateway({ config, folder: first.folder })
  const { json } = await ask(third, 'GET', '/api/activity_logs?include_event_types=stream_dropped')
  expect((json['data'] as { details: object }[]).map(({ details }) => details)).toMatchObject([
    { leg: 'activity', reason: 'expired', items: 333 },
  ])
})
