/** Bodies of posted events on their way from the admin port: small ones in memory, large ones over a file. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { ConflictError } from '../admin/commands.ts'
import { AdminError } from '../admin/errors.ts'
import { BusyError, StorageFullError } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import type { EventsResult, PostedBody } from '../contract/tasks.ts'
import type { RunningGateway } from '../gateway.ts'

export class PostedEvents {
  readonly #gateway: RunningGateway
  /** Of bodies that do not fit into memory. */
  readonly #folder: string
  #posts = 0
  /** Those that a thread is writing. */
  readonly #writing = new Set<Promise<EventsResult>>()

  constructor(gateway: RunningGateway) {
    this.#gateway = gateway
    this.#folder = path.join(gateway.options.config.data_dir, 'posted')
    // What a killed process was still receiving was never accepted.
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Resolves when all of them are on the disk; throws when none was taken. */
  async take(body: AsyncIterable<Buffer>, lines: boolean): Promise<{ accepted: number }> {
    this.#assertOpen()
    if (this.#posts >= limits.posts_max)
      throw new BusyError(`at most ${limits.posts_max} bodies of events are taken at a time: try again later`)
    this.#posts += 1
    const file = path.join(this.#folder, randomUUID())
    try {
      const received = await receive(body, file)
      this.#assertOpen()
      return settled(await this.#write({ body: received, lines }))
    } finally {
      this.#posts -= 1
      await rm(file, { force: true })
    }
  }

  #assertOpen(): void {
    if (this.#gateway.state === 'draining') throw new BusyError('the gateway is shutting down')
  }

  async #write(task: PostedBody): Promise<EventsResult> {
    const written = this.#gateway.deliveries.post(task)
    this.#writing.add(written)
    try {
      return await written
    } finally {
      this.#writing.delete(written)
    }
  }

  /** Resolves when nothing is being written any more. */
  async written(): Promise<void> {
    await Promise.allSettled(this.#writing)
  }
}

async function receive(body: AsyncIterable<Buffer>, file: string): Promise<PostedBody['body']> {
  let held: Buffer[] = []
  let bytes = 0
  let handle: FileHandle | null = null
  try {
    for await (const chunk of body) {
      bytes += chunk.length
      if (bytes > limits.posted_body_bytes_max)
        throw new AdminError(413, `the body must be at most ${limits.posted_body_bytes_max} bytes`)
      held.push(chunk)
      if (handle === null && bytes <= limits.posted_memory_bytes) continue
      handle ??= await begin(file).catch(refusedByDisk)
      await handle.writeFile(Buffer.concat(held)).catch(refusedByDisk)
      held = []
    }
  } finally {
    await handle?.close()
  }
  return handle === null ? { bytes: Buffer.concat(held) } : { path: file }
}

async function begin(file: string): Promise<FileHandle> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  return open(file, 'wx', 0o600)
}

/** A file system without inodes refuses a new file with the same code; a quota has one of its own. */
function refusedByDisk(error: NodeJS.ErrnoException): never {
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT')
    throw new StorageFullError('the disk is full', { cause: error })
  throw error
}

function settled(result: EventsResult): { accepted: number } {
  if (result.ok) return { accepted: result.accepted }
  const { kind, message } = result
  if (kind === 'invalid') {
    const errors = { [`line ${result.line}`]: [message] }
    throw new AdminError(400, 'the body holds what is no event', { errors })
  }
  if (kind === 'full') throw new StorageFullError(message)
  const type = JSON.stringify(message)
  throw new ConflictError(`no stream takes events of type ${type}: name it in the events of one`)
}
