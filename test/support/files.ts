/** Temporary folders, and what is in them. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onEnd, onFileEnd } from './cleanup.ts'

/** A folder that is removed at the end of the test, or of its file. */
export async function tempDir(prefix = 'mirrorgate-test-', shared = false): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), prefix))
  const atEnd = shared ? onFileEnd : onEnd
  atEnd(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** All files under a folder, with their paths from there; empty when it does not exist. */
export async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

/** Bytes of all files under a folder; a file that goes meanwhile counts nothing. */
export async function bytesUnder(folder: string): Promise<number> {
  const files = await filesUnder(folder)
  const sizes = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  )
  return sizes.reduce((total, size) => total + size, 0)
}
