/** Writing an exchange into a slab (data thread) and reading it again (recorder). */
import { limits } from '../../src/contract/limits.ts'
import { recordBytes, recordText, SlabView, writeRecord } from '../../src/queue/slab.ts'
import { SlabReader } from '../../src/queue/slab-reader.ts'
import { sealed } from './exchange.ts'
import type { Step } from './micro.ts'

/** Writes one record at `start`, as the data thread does; returns the place after it, or -1 when full. */
function write(view: SlabView, start: number): number {
  const text = recordText(sealed)
  const length = recordBytes(sealed, text)
  if (start + length > view.slab.byteLength) return -1
  writeRecord(view, start, length, sealed, text)
  return start + length
}

export function slabWrite(): Step {
  const view = new SlabView(new SharedArrayBuffer(limits.slab_bytes_max))
  let at = 0
  return {
    name: 'slab write',
    unit: 'exchange',
    note: '1 KB request, 400-byte response',
    run: (times) => {
      for (let done = 0; done < times; done += 1) {
        at = write(view, at)
        if (at < 0) at = write(view, 0)
      }
    },
  }
}

export function slabRead(): Step {
  const view = new SlabView(new SharedArrayBuffer(limits.slab_bytes_max))
  let used = 0
  for (let next = write(view, 0); next >= 0; next = write(view, used)) used = next
  return {
    name: 'slab read',
    unit: 'exchange',
    note: '1 KB request, 400-byte response',
    run: (times) => {
      let seen = 0
      while (seen < times) {
        const record = new SlabReader(view.slab, used)
        while (record.next()) seen += record.mirrors
      }
    },
  }
}
