/** Appending one frame of 100 items to a segment: header, CRC and the write. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { limits } from '../../src/contract/limits.ts'
import { SegmentWriter } from '../../src/queue/spool.ts'
import { answerBody } from '../bed/payload.ts'
import type { Step } from './micro.ts'

export function frameAppend(): Step {
  const folder = mkdtempSync(`${tmpdir()}/mirrorgate-micro-`)
  const writer = new SegmentWriter(folder, { segmentBytes: limits.segment_bytes, fsyncMs: 60_000 })
  const items = 100
  const line = `${JSON.stringify({ id: 'a'.repeat(36), body: answerBody, headers: 'h'.repeat(400) })}\n`
  const payload = Buffer.from(line.repeat(items))
  const info = { items, oldest: 0, newest: 0, thread: 0, sequence: 0 }
  return {
    name: 'frame append',
    unit: 'frame',
    note: `${items} items, ${Math.round(payload.length / 1024)} KiB`,
    run: (times) => {
      for (let done = 0; done < times; done += 1) writer.append(payload, info, { parked: false })
      // The disk is not what is measured: closed segments go at once.
      for (const name of writer.takeClosed()) rmSync(`${folder}/${name}`)
    },
    close: () => {
      writer.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
