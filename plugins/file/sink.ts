/** Appends whole exchanges to an NDJSON file, which is rotated by size. */
import { type FileHandle, open, rename } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { locks } from 'node:worker_threads'
import { defineSink, harLines, OutcomeError, Type } from 'mirrorgate/plugin'

const MIB = 1024 * 1024
const GIB = 1024 * MIB

/**
 * A person must mend these; everything else of the file system (no space, read-only, I/O) may pass by itself.
 */
const needsPerson = new Set(['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENAMETOOLONG'])

interface Rotation {
  readonly max_bytes: number
  readonly max_files: number
  readonly fsync: boolean
}

export default defineSink({
  name: 'file',
  summary:
    'Appends exchanges as NDJSON to a file that is rotated by size; as HAR each line is a log of its own.',
  options: Type.Object(
    {
      path: Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'The file, absolute or relative to the working directory; its folder must exist.',
      }),
      max_bytes: Type.Integer({
        default: 100 * MIB,
        minimum: 64 * 1024,
        maximum: 1024 * GIB,
        description: 'Size at which the file is renamed to path.1 and a new one is begun.',
      }),
      max_files: Type.Integer({
        default: 10,
        minimum: 1,
        maximum: 1000,
        description: 'Renamed files that are kept (path.1 is the newest); older ones are deleted.',
      }),
      fsync: Type.Boolean({
        default: true,
        description: 'Whether a batch is flushed to the disk before it counts as delivered.',
      }),
    },
    { additionalProperties: false },
  ),
  formats: ['ndjson', 'har', 'akto', 'template'],
  urls: [],
  limits: { batch_bytes: 64 * MIB, batch_items: 100_000, item_bytes: 64 * MIB },
  legs: ({ path }) => [{ name: 'exchanges', half: 'exchange', url: pathToFileURL(resolve(path)).href }],
  create({ options, format }) {
    const file = resolve(options.path)
    return {
      async write(batch, signal) {
        try {
          // Deliveries come from several threads: the lock spans all of this process, or two could rotate at
          // once.
          const lines = format === 'har' ? harLines(batch.ndjson) : batch.ndjson
          await locks.request(`mirrorgate file ${file}`, { signal }, () => append(file, lines, options))
        } catch (error) {
          throw outcome(error, signal)
        }
      },
      close() {},
    }
  },
})

/** Appends one batch as a whole, or leaves the file as it was. */
async function append(file: string, batch: Buffer, rotation: Rotation): Promise<void> {
  let handle = await openFile(file)
  try {
    let { size } = await handle.stat()
    if (size > 0 && size + batch.length > rotation.max_bytes) {
      await handle.close()
      await rotate(file, rotation.max_files)
      handle = await openFile(file)
      size = 0
    }
    // A kill in mid-write leaves half a line behind; the batch that it belonged to comes again.
    const torn = size > 0 && !(await endsWithNewline(handle, size))
    try {
      await handle.writeFile(torn ? Buffer.concat([Buffer.from('\n'), batch]) : batch)
      if (rotation.fsync) await handle.datasync()
    } catch (error) {
      // Where even that fails, the batch comes again behind its first half: twice is better than never.
      await handle.truncate(size).catch(() => undefined)
      throw error
    }
  } finally {
    await handle.close()
  }
}

/**
 * Opened anew for each batch, so that an outside tool may move the file away. Payloads: for the owner only.
 */
function openFile(file: string): Promise<FileHandle> {
  return open(file, 'a+', 0o600)
}

async function endsWithNewline(handle: FileHandle, size: number): Promise<boolean> {
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer[0] === 0x0a
}

/** path.(n-1) becomes path.n, the oldest is overwritten; path becomes path.1. */
async function rotate(file: string, maxFiles: number): Promise<void> {
  for (let n = maxFiles; n >= 1; n -= 1) {
    try {
      await rename(n === 1 ? file : `${file}.${n - 1}`, `${file}.${n}`)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

function outcome(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted)
    return new OutcomeError('retry', 'timed out while another batch was being written', { cause: error })
  const code = (error as NodeJS.ErrnoException).code
  if (code === undefined) return error
  return new OutcomeError(needsPerson.has(code) ? 'refused' : 'retry', `writing the file: ${code}`, {
    cause: error,
  })
}
