/** `mirrorgate audit export`: the lines of a data folder or a backup, as the admin port exports them. */
import { exportLine, parseEntry } from '../store/activity/format.ts'
import { RawActivityLog, storeFile } from '../store/activity/raw.ts'
import { UnreadableError } from './verify.ts'

export interface ExportFilter {
  readonly environment: string | null
  /** Unix milliseconds, inclusive. */
  readonly from: number | null
  readonly to: number | null
}

/** Text that is given out at once. */
const PIECE_CHARS = 1 << 18

/** Entries in the order of their ids, then the newest checkpoint; in pieces of many lines. */
export async function* exportLines(folder: string, filter: ExportFilter): AsyncGenerator<string> {
  if (storeFile(folder) === null) throw new UnreadableError(`there is no store in ${folder}`)
  const log = new RawActivityLog(folder)
  const all = filter.environment === null && filter.from === null && filter.to === null
  try {
    const checkpoint = log.checkpoints().at(-1)
    let text = ''
    for (const { value } of log.entries()) {
      if (!all && !matches(value, filter)) continue
      text += `${exportLine(value)}\n`
      if (text.length < PIECE_CHARS) continue
      yield text
      text = ''
    }
    yield checkpoint === undefined ? text : `${text}{"checkpoint":${checkpoint}}\n`
  } finally {
    await log.close()
  }
}

function matches(value: Buffer, { environment, from, to }: ExportFilter): boolean {
  const { timestamp, workspace } = parseEntry(value)
  if (environment !== null && workspace.environment !== environment) return false
  return (from === null || timestamp >= from) && (to === null || timestamp <= to)
}
