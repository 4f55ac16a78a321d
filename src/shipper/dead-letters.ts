/** Items that a destination refused one by one: shown, sent again, or thrown away, by a person or a bound. */
import { mkdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import type { DeadLetterView } from '../admin/commands.ts'
import type { DropReason } from '../contract/errors.ts'
import { nestsDeeper } from '../contract/json-depth.ts'
import { limits } from '../contract/limits.ts'
import { type FrameInfo, type SegmentFrame, segmentName } from '../queue/spool-format.ts'
import { writeSegment } from '../queue/spool-file.ts'
import type { DeadLetter } from '../store/legs.ts'
import type { Store } from '../store/store.ts'
import type { Leg } from './leg.ts'

interface Letter {
  readonly id: number
  readonly letter: DeadLetter
}

export interface DeadLetterPage {
  /** Id of the last one of the page before; null for the first page. */
  readonly after: string | null
  readonly size: number
}

export interface DeadLettersFound {
  readonly data: DeadLetterView[]
  /** Of all pages. */
  readonly total: number
}

/** Dead letters of legs, by their names and then by age. */
export async function listDeadLetters(
  legs: readonly Leg[],
  store: Store,
  page: DeadLetterPage,
): Promise<DeadLettersFound> {
  // The store is the list: what was counted a moment ago must be on it.
  await Promise.all(legs.map((leg) => leg.ledger.flush()))
  const [afterLeg = '', afterId = '0'] = (page.after ?? '').split(':')
  const data: DeadLetterView[] = []
  for (const leg of legs.toSorted((a, b) => a.name.localeCompare(b.name))) {
    if (leg.name < afterLeg) continue
    const from = leg.name === afterLeg ? Number(afterId) : 0
    for (const { id, letter } of store.legs.deadLetters(leg.ledger.key, from)) {
      if (data.length === page.size) break
      data.push({
        id: `${leg.name}:${id}`,
        leg: leg.name,
        at: new Date(letter.at).toISOString(),
        reason: letter.reason,
        status: letter.status,
        answer: letter.answer,
        batch_id: letter.batch_id,
        item: parseItem(letter.item),
      })
    }
  }
  return { data, total: legs.reduce((sum, leg) => sum + leg.ledger.deadLettered, 0) }
}

/** As text where it is none, or where whoever writes the answer might not get to the bottom of it. */
function parseItem(item: string): unknown {
  if (nestsDeeper(item, limits.event_depth_max)) return item
  try {
    return JSON.parse(item)
  } catch {
    return item
  }
}

/** What is asked for twice at a time must not be done twice: one command of a leg waits for the other. */
const turns = new WeakMap<Leg, Promise<unknown>>()

function inTurn(leg: Leg, work: () => Promise<number>): Promise<number> {
  const turn = (turns.get(leg) ?? Promise.resolve()).then(async () => {
    // The store is the list: what was taken from it before must be gone from it.
    if (!(await leg.ledger.flush())) throw new Error('writing to the store: it refuses')
    return work()
  })
  turns.set(
    leg,
    turn.catch(() => {}),
  )
  return turn
}

/** Puts all dead letters of a leg back into its backlog, as a segment of their own. The count of them. */
export function replayDeadLetters(leg: Leg, store: Store): Promise<number> {
  return inTurn(leg, async () => {
    const last = store.legs.lastDeadLetter(leg.ledger.key)
    if (last === 0) return 0
    await mkdir(leg.folder, { recursive: true, mode: 0o700 })
    const name = segmentName(Date.now())
    const draft = path.join(leg.folder, `${name}.draft`)
    const ids: number[] = []
    let frames: SegmentFrame[]
    try {
      frames = await writeSegment(draft, name, framesOf(leg, store, last, ids))
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
    const segment = leg.queue.segment(name)
    segment.closed = true
    // Not to be read before it has its name.
    segment.removing = true
    for (const frame of frames) leg.queue.add(segment, { ...frame, bytes: frame.length, arrivedAt: 0 })
    leg.ledger.gone -= ids.length
    leg.ledger.deadLettered -= ids.length
    for (const id of ids) leg.ledger.putDeadLetter(id, null)
    leg.noteSegment(segment)
    await leg.ledger.flush()
    await rename(draft, path.join(leg.folder, name))
    segment.removing = false
    leg.pump()
    return ids.length
  })
}

/** Dead letters up to an id as frames within the bounds of a batch, read as they are needed. */
function* framesOf(
  leg: Leg,
  store: Store,
  last: number,
  ids: number[],
): Generator<{ payload: Buffer; info: FrameInfo }> {
  const { max_items: itemsMax = 1, max_bytes: bytesMax = 0 } = leg.settings?.delivery.batch ?? {}
  let lines: Letter[] = []
  let bytes = 0
  let after = 0
  while (after < last) {
    for (const one of store.legs.deadLetters(leg.ledger.key, after)) {
      const more = Buffer.byteLength(one.letter.item) + 1
      if (one.id > last || (lines.length > 0 && (lines.length >= itemsMax || bytes + more > bytesMax))) break
      lines.push(one)
      bytes += more
    }
    if (lines.length === 0) return
    after = lines.at(-1)?.id ?? last
    ids.push(...lines.map(({ id }) => id))
    yield frameOf(lines)
    lines = []
    bytes = 0
  }
}

function frameOf(lines: readonly Letter[]): { payload: Buffer; info: FrameInfo } {
  const times = lines.map(({ letter }) => letter.at)
  return {
    payload: Buffer.from(lines.map(({ letter }) => `${letter.item}\n`).join('')),
    // They wait anew: retention counts from now.
    info: { items: lines.length, oldest: Math.min(...times), newest: Date.now(), thread: 0, sequence: 0 },
  }
}

/** Throws the oldest dead letters of a leg away; all of them unless told how many. The count of them. */
export function deleteDeadLetters(
  leg: Leg,
  store: Store,
  reason: DropReason,
  count = Number.POSITIVE_INFINITY,
): Promise<number> {
  return inTurn(leg, async () => {
    let deleted = 0
    for (const { id } of store.legs.deadLetters(leg.ledger.key, 0)) {
      if (deleted >= count) break
      leg.ledger.putDeadLetter(id, null)
      deleted += 1
    }
    leg.ledger.deadLettered -= deleted
    leg.account(reason, deleted)
    await leg.ledger.flush()
    return deleted
  })
}
