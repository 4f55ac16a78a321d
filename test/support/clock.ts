/**
 * A clock for processes of a test, which the test sets: libfaketime gives them, in all their threads, the
 * time of a file. Wall and monotonic clock move together, so timers that became due fire.
 */
import { existsSync, readdirSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tempDir } from './files.ts'

/** Debian has it by architecture. */
const library = librariesOf('/usr/lib')[0]

/** Why there is none here; null where there is. */
export const clockMissing = library === undefined ? 'libfaketime is not installed' : null

export interface Clock {
  /** For processes that are to live by it. */
  readonly env: Readonly<Record<string, string>>
  now(): Date
  /** Lets it jump to a moment, and go on from there. */
  set(moment: Date): Promise<void>
  advance(ms: number): Promise<void>
}

export async function startClock(moment: Date): Promise<Clock> {
  const file = join(await tempDir(), 'clock')
  let offsetMs = 0
  const now = () => new Date(Date.now() + offsetMs)
  const write = async () => {
    // At once as a whole: it is read at any moment.
    const seconds = (offsetMs / 1000).toFixed(3)
    await writeFile(`${file}.new`, offsetMs < 0 ? seconds : `+${seconds}`)
    await rename(`${file}.new`, file)
  }
  const set = async (to: Date) => {
    offsetMs = to.getTime() - Date.now()
    await write()
  }
  await set(moment)
  return {
    env: { LD_PRELOAD: library ?? '', FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' },
    now,
    set,
    advance: (ms) => set(new Date(now().getTime() + ms)),
  }
}

function librariesOf(root: string): string[] {
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const files = folders.map(({ name }) => join(root, name, 'faketime', 'libfaketimeMT.so.1'))
  return files.filter((file) => existsSync(file))
}
