/** What a data thread does with its last slab while the recorder is slow. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { Client } from '../support/client.ts'
import { startThread } from '../support/data-thread.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

test('small captures are lost to no timer: the last slab fills until another one comes back', async () => {
  const upstream = await startUpstream()
  const parts = { mirrors: [{ name: 'slow' }], capture: { flush_after_ms: 10 } }
  const thread = await startThread(upstream, parts, { bufferBytes: 4 * limits.slab_bytes_min })
  thread.returning = false
  const client = new Client(thread.port)
  await client.send()
  await thread.exchanges(1)
  // Long enough for many flushes: one slab is away, and there are only two.
  for (let at = 0; at < 200; at += 1) await client.send({ path: `/${at}` })
  await until(() => thread.mirror('slow').captured === 201, { what: 'all of them are sealed' })
  expect(thread.mirror('slow')).toMatchObject({ captured: 201, slabbed: 201, bufferFull: 0 })
  expect(thread.slabs).toHaveLength(1)

  thread.giveBack()
  await thread.exchanges(201)
  expect(thread.slabs).toHaveLength(2)
})
