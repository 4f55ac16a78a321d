/** What a delivery is told of the batch that it reads from a segment. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { halve, makeBatch } from '../../src/shipper/batch.ts'
import { LegQueue } from '../../src/shipper/leg-queue.ts'
import { spoolSource } from '../../src/shipper/sources.ts'

const source = spoolSource('/spool', () => Promise.reject(new Error('nothing is indexed here')))

/** A batch of one frame with four items that arrived so long ago. */
function batchAged(ms: number) {
  const segment = new LegQueue().segment('s.seg')
  const times = { oldest: 1, newest: 2, arrivedAt: Date.now() - ms }
  const frame = { offset: 16, length: 148, bytes: 148, items: 4, ...times }
  return makeBatch('mirrors:salt/requests', { segment, frames: [frame], items: 4, bytes: 148 })
}

test('what arrived a moment ago is fresh, what is older than its bound is not', () => {
  expect(source.range(batchAged(0), [0, 4])).toMatchObject({ from: 16, to: 164, fresh: true })
  expect(source.range(batchAged(limits.frame_fresh_ms), [0, 4])).toMatchObject({ fresh: false })
  expect(source.range(batchAged(-1000), [0, 4]), 'the clock was set back').toMatchObject({ fresh: false })
})

test('a whole batch is marked in its segment, a part of one is not', () => {
  const batch = batchAged(0)
  expect(source.range(batch, [0, 4])).toMatchObject({ mark: true })
  halve(batch)
  expect(source.range(batch, [0, 2])).toMatchObject({ mark: false })
  batch.parts.shift()
  expect(source.range(batch, [2, 4])).toMatchObject({ mark: false })
})
