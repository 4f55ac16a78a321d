/** Takes the room of a small file system away. */
import { statfsSync } from 'node:fs'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'

const MIB = 1024 * 1024

/** Leaves so many bytes free; resolves with the file to be removed. */
export async function fillUp(folder: string, leave: number): Promise<string> {
  const file = join(folder, 'filler')
  for (;;) {
    const { bavail, bsize } = statfsSync(folder)
    const room = bavail * bsize - leave
    if (room <= 0) return file
    await appendFile(file, Buffer.alloc(Math.min(room, MIB))).catch(() => {})
  }
}
