/** Reads secrets from files below a folder, as containers mount them, and watches for their change. */
import { constants, type FSWatcher, watch } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, sep } from 'node:path'
import { defineProvider, SecretError, secretText, secretValue, Type } from 'mirrorgate/plugin'

const FILE_BYTES_MAX = 1024 * 1024
/** Folders beyond this are not watched: their secrets change when their time in the cache is over. */
const WATCHED_FOLDERS_MAX = 200

export default defineProvider({
  name: 'file',
  summary: 'Reads files below a folder, as containers mount secrets: `${secret:file:salt/token}`.',
  options: Type.Object(
    {
      root: Type.String({
        minLength: 1,
        default: '/run/secrets',
        description: 'Folder that paths start from, relative to gateway.yaml; nothing outside it is read.',
      }),
    },
    { additionalProperties: false },
  ),
  secretOptions: [],
  pathOptions: ['root'],
  local: true,
  workato: () => ({ rule: 'is no form of file, write ${secret:PROVIDER:PATH}' }),
  create: ({ root }) => {
    const folders = new Folders()
    return {
      async read(name, signal) {
        const file = inside(root, name.path)
        // Before it is read: a change while it is read must not be missed.
        folders.watch(dirname(file))
        const text = secretText(await readBounded(await resolved(root, file), signal))
        return secretValue(text.replace(/\r?\n$/, ''), name)
      },
      watch: (changed) => folders.listen(changed),
      close: () => folders.close(),
    }
  },
})

/** CWE-22: a path that leaves its folder by its text. */
function inside(root: string, path: string): string {
  const parts = path.split(/[/\\]/)
  if (isAbsolute(path) || path.includes('\0') || parts.includes('..'))
    throw new SecretError('denied', 'the path must stay within the root of its provider')
  return join(root, path)
}

/** CWE-59: a path that leaves its folder by a link. Kubernetes links to `..data`, which is within it. */
async function resolved(root: string, file: string): Promise<string> {
  try {
    const [folder, target] = await Promise.all([realpath(root), realpath(file)])
    if (target.startsWith(folder === sep ? sep : folder + sep)) return target
  } catch (error) {
    throw failure(error)
  }
  throw new SecretError('denied', 'the path must stay within the root of its provider, it links elsewhere')
}

async function readBounded(file: string, signal: AbortSignal): Promise<Buffer> {
  try {
    // A named pipe would be waited for until somebody writes.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      signal.throwIfAborted()
      const { size } = await handle.stat().then((stat) => {
        if (!stat.isFile()) throw new SecretError('not_found', 'the path must be a file')
        return stat
      })
      if (size > FILE_BYTES_MAX)
        throw new SecretError('not_found', `the file must have at most ${FILE_BYTES_MAX} bytes, got ${size}`)
      const bytes = await handle.readFile({ signal })
      // Truncated, and not written yet.
      if (bytes.length === 0) throw new SecretError('unavailable', 'the file is empty')
      return bytes
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (signal.aborted) throw new SecretError('unavailable', 'the read was given up', { cause: error })
    throw failure(error)
  }
}

const failures: Readonly<Record<string, readonly ['not_found' | 'denied', string]>> = {
  ENOENT: ['not_found', 'there is no such file'],
  ENOTDIR: ['not_found', 'there is no such file'],
  EISDIR: ['not_found', 'the path must be a file'],
  EACCES: ['denied', 'permission denied'],
  EPERM: ['denied', 'permission denied'],
}

function failure(error: unknown): SecretError {
  if (error instanceof SecretError) return error
  const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
  const [kind, message] = failures[code] ?? ['unavailable', `the file cannot be read: ${code}`]
  return new SecretError(kind, message, { cause: error })
}

/** Folders of the files that were read; each is watched until something happens in it, and then anew. */
class Folders {
  readonly #watchers = new Map<string, FSWatcher>()
  #changed: (() => void) | null = null

  listen(changed: () => void): () => void {
    this.#changed = changed
    return () => {
      this.#changed = null
    }
  }

  watch(folder: string): void {
    if (this.#changed === null || this.#watchers.has(folder) || this.#watchers.size >= WATCHED_FOLDERS_MAX)
      return
    try {
      const watcher = watch(folder, { persistent: false })
      this.#watchers.set(folder, watcher)
      // The folder itself may have been replaced: the next read watches what stands there then.
      const end = () => {
        this.#forget(folder)
        this.#changed?.()
      }
      watcher.once('change', end)
      watcher.on('error', end)
    } catch {
      // No such folder, or no watch left on this machine: the time in the cache must do.
    }
  }

  #forget(folder: string): void {
    this.#watchers.get(folder)?.close()
    this.#watchers.delete(folder)
  }

  close(): void {
    for (const folder of [...this.#watchers.keys()]) this.#forget(folder)
  }
}
