/** Rules about the memory of captures: what a data thread gets must hold what one exchange may need. */
import { limits } from '../../contract/limits.ts'
import type { Draft } from '../draft.ts'

/** Memory below which a data thread cannot have its slabs. */
export const THREAD_BYTES_MIN = (limits.slabs_per_thread_min * limits.slab_bytes_min) / limits.slab_share

/** Data threads where the file sets none: those of the machine, as far as capture memory feeds them. */
export function defaultThreads(machine: number, bufferBytes: number): number {
  return Math.max(1, Math.min(machine, 64, Math.floor(bufferBytes / THREAD_BYTES_MIN)))
}

export function checkMemory(draft: Draft): void {
  if (!draft.sound('/capture/buffer_bytes', '/listen/threads', '/listen/limits/header_bytes')) return
  const { listen, capture } = draft.file
  const threads = listen.threads ?? defaultThreads(draft.machineThreads, capture.buffer_bytes)
  if (listen.threads === undefined && threads < draft.machineThreads) {
    draft.warn(
      '/capture/buffer_bytes',
      `feeds ${threads} of ${draft.machineThreads} data threads, at ${THREAD_BYTES_MIN} bytes each`,
    )
  }
  if (threads * THREAD_BYTES_MIN > capture.buffer_bytes) {
    const most = Math.floor(capture.buffer_bytes / THREAD_BYTES_MIN)
    const why = `each needs ${THREAD_BYTES_MIN} bytes of capture.buffer_bytes ${capture.buffer_bytes}`
    draft.problem('/listen/threads', `must be at most ${most}, since ${why}, got ${threads}`)
    return
  }
  bodies(draft, Math.floor(capture.buffer_bytes / threads))
}

/** Bodies and heads of one exchange must fit into half of a thread's share, or it could never be sealed. */
function bodies(draft: Draft, share: number): void {
  const shareName = `a thread's share of capture.buffer_bytes (${share})`
  const half = Math.floor(share / 2)
  const heads = 2 * draft.file.listen.limits.header_bytes
  for (const { value, pointer } of [...draft.mirrors(), ...draft.streams()]) {
    if (!draft.sound(`${pointer}/capture`)) continue
    const { request_body, response_body, body_bytes } = value.capture
    const count = Number(request_body) + Number(response_body)
    if (count * body_bytes + heads <= half) continue
    const at = `${pointer}/capture/body_bytes`
    const most = Math.max(0, Math.floor((half - heads) / count))
    draft.problem(
      at,
      `must be at most ${most}, for an exchange to fit into half of ${shareName}, got ${body_bytes}`,
    )
  }
}
