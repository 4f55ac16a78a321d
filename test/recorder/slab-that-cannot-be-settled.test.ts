/** A recorder dies, and what it left cannot be settled either: the next slab has its turn, a stop ends. */
import { expect, test } from 'vitest'
import type { SlabMessage } from '../../src/proxy/threads.ts'
import { RecorderPool } from '../../src/recorder/pool.ts'
import { Recording } from '../../src/recording.ts'
import { onEnd } from '../support/cleanup.ts'

const slab = (sequence: number): SlabMessage => ({
  type: 'slab',
  slab: sequence === 0 ? new ArrayBuffer(64) : new SharedArrayBuffer(128),
  ...{ used: 0, sequence, generation: 1, sealedAt: Date.now(), counts: [0, 1], restarts: 0 },
})

test('a slab that cannot be settled is told of, and gives its turn and its memory back', async () => {
  const recorder = new RecorderPool(new URL('../../src/worker.ts', import.meta.url))
  onEnd(() => recorder.close())
  const told: string[] = []
  const settled: number[] = []
  const returned: number[] = []
  const lost: number[] = []
  const recording = new Recording({
    recorder,
    threads: {
      returnSlab: (_thread, _message, { byteLength }) => void returned.push(byteLength),
      slabLost: (_thread, _message, bytes) => void lost.push(bytes),
    },
    deliveries: {
      recorderBounds: () => ({ room: {}, parked: [] }),
      captures: {
        planOf: () => 'no plan: the recorder throws',
        recorded: () => {},
        giveUp: () => {},
        settleCrash: async ({ sequence }) => {
          settled.push(sequence)
          throw new Error('the spool is gone')
        },
      },
    },
    metrics: { observeCaptureLag: () => {}, countNotRedactable: () => {} },
    log: { error: (_about: unknown, what?: string) => void told.push(String(what)) },
  })
  const slabs = Array.from({ length: recorder.threads + 2 }, (_, at) => at)
  await Promise.all(slabs.map((sequence) => recording.record(0, slab(sequence))))
  expect(settled.toSorted()).toEqual(slabs)
  expect(told.filter((what) => what === 'what a recorder left cannot be settled')).toHaveLength(slabs.length)
  expect(recording.settling).toBe(false)
  // What is not shared went to the recorder, and ended with it.
  expect(lost).toEqual([64])
  expect(returned).toEqual(slabs.slice(1).map(() => 128))
  await recording.ended()
})
