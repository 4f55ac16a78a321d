/** The activity log at size: appends, pages with totals, memory, retention; in a process of its own. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const program = fileURLToPath(new URL('./activity.program.ts', import.meta.url))

/** What the program prints, as JSON. */
export interface ActivityResult {
  readonly entries: number
  readonly appendsPerSecond: number
  /** Of the store's file, for each entry. */
  readonly bytesPerEntry: number
  /** Reopening: one block is read again. */
  readonly openMs: number
  /** The first page after that, with its total. */
  readonly firstPageMs: number
  readonly pages: readonly { readonly kind: string; readonly p50Ms: number; readonly p99Ms: number }[]
  /** A full scan: text that no index knows. */
  readonly textMs: number
  /** False: it was refused by then, since it may take no longer. */
  readonly textEnded: boolean
  readonly removed: number
  readonly removeSeconds: number
  /** The longest wait of an append while entries were removed. */
  readonly appendWaitMsMax: number
  /** Whole processes, MiB: own memory, and with the pages of the store that are mapped. */
  readonly anonMiBMax: number
  readonly rssMiB: { readonly appended: number; readonly queried: number; readonly end: number }
}

export async function activity(folder: string, entries: number): Promise<ActivityResult> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, folder, String(entries)])
  return JSON.parse(stdout) as ActivityResult
}
