/** How much room the disk of the spool has, looked at once a second. */
import { statfs } from 'node:fs/promises'
import { limits } from '../contract/limits.ts'
import type { Logger } from '../telemetry/log.ts'

interface Disk {
  readonly freeBytes: number
  /** Below it nothing is spooled. */
  readonly floorBytes: number
}

export class DiskWatch {
  readonly #folder: string
  readonly #log: Logger
  /** As the last look found it; null before the first. */
  state: Disk | null = null
  low = false

  constructor(folder: string, log: Logger) {
    this.#folder = folder
    this.#log = log
  }

  async look(): Promise<void> {
    try {
      const { bavail, blocks, bsize } = await statfs(this.#folder)
      const freeBytes = bavail * bsize
      const floorBytes = Math.min(limits.disk_free_min_bytes, blocks * bsize * limits.disk_free_min_share)
      this.state = { freeBytes, floorBytes }
      const low = freeBytes < floorBytes
      if (low && !this.low) this.#log.error({ free_bytes: freeBytes }, 'disk nearly full: spooling stops')
      if (!low && this.low) this.#log.info({ free_bytes: freeBytes }, 'disk has room again')
      this.low = low
    } catch (error) {
      this.#log.error({ err: error }, 'free disk space cannot be read')
    }
  }
}
