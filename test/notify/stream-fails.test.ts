/** A stream whose destination refuses it is an incident of its own, and ends with what was replayed. */
import { expect, test } from 'vitest'
import { startTestGateway } from '../support/gateway.ts'
import { incidentComes, incidentOf, incidentsOf } from '../support/incidents.ts'
import { startReceiver } from '../support/receiver.ts'
import { happen, stream, streamsConfig } from '../support/streams.ts'

test('a stream that is refused opens stream_failed, and closes it when its events arrive', async () => {
  const receiver = await startReceiver()
  receiver.status = () => 403
  const gateway = await startTestGateway({ config: streamsConfig(receiver.url, [stream('siem')]) })
  await happen(gateway, 20)
  const open = await incidentComes(gateway, 'stream_failed')
  expect(open).toMatchObject({ subject: 'siem', details: { status: 403, reason: 'unauthorized' } })
  const { steps, mirrors } = await incidentOf(gateway, open.id)
  expect(mirrors).toMatchObject([{ kind: 'streams', name: 'siem', connection: 'siem' }])
  expect(steps.some(({ command }) => command?.includes('/api/streams/siem/test'))).toBe(true)
  receiver.status = () => 200
  await gateway.admin.json('POST', '/api/streams/siem/replay')
  const closed = await incidentComes(gateway, 'stream_failed', 'closed')
  expect(closed.outcome).toMatchObject({ reason: 'recovered', replayed: 20, lost: 0, waiting: 0 })
  // Nobody is told where no channel is configured, and nothing waits for one.
  expect(closed.notices).toEqual([])
  expect(await incidentsOf(gateway, 'kind=mirroring_error')).toEqual([])
})
