/** A data thread that dies is replaced by one that owes nothing for what the other had handed over. */
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import { DataThreads, type SlabMessage } from '../../src/proxy/threads.ts'
import { threadCell } from '../../src/telemetry/counters.ts'
import { onEnd } from '../support/cleanup.ts'
import { Client } from '../support/client.ts'
import { planOf } from '../support/data-thread.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

test('a slab of the one before is not counted, nor used', async () => {
  const upstream = await startUpstream()
  const plan = planOf({
    listen: { host: '127.0.0.1', port: 0 },
    collections: [{ name: 'api', upstreams: [{ url: upstream.url }], mirrors: ['m'] }],
    mirrors: [{ name: 'm' }],
  })
  const workers: Worker[] = []
  const { postMessage } = Worker.prototype
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...all) {
    if (!workers.includes(this)) workers.push(this)
    postMessage.apply(this, all)
  })
  onTestFinished(() => void vi.restoreAllMocks())
  const slabs: SlabMessage[] = []
  const threads = new DataThreads(plan, {
    log: { error: () => {}, warn: () => {} } as never,
    slab: (_thread, message) => void slabs.push(message),
    lost: () => {},
  })
  onEnd(() => threads.end())
  const { port } = await threads.start(1)
  await new Client(port).send()
  await until(() => slabs.length === 1, { what: 'its slab is handed over' })
  const [slab] = slabs as [SlabMessage]
  await workers[0]?.terminate()
  await until(() => threads.counters.length === 2, { what: 'another thread' })
  threads.returnSlab(0, slab, slab.slab)
  threads.slabLost(0, slab, 1)
  await threads.apply({ ...plan, generation: plan.generation + 1 })
  const cells = threads.counters[1]?.cells
  expect([cells?.[threadCell.slabsInUse], cells?.[threadCell.captureBytes]]).toEqual([0, 0])
})
