/** Notices when the wall clock moves by itself: set by NTP, by a person, or while the machine slept. */

export interface Clocks {
  /** Unix milliseconds. */
  wall(): number
  /** Milliseconds that never jump. */
  monotonic(): number
}

const system: Clocks = { wall: () => Date.now(), monotonic: () => performance.now() }

export class ClockWatch {
  readonly #clocks: Clocks
  readonly #jumpMs: number
  #offset: number

  constructor(jumpMs: number, clocks: Clocks = system) {
    this.#clocks = clocks
    this.#jumpMs = jumpMs
    this.#offset = this.#now()
  }

  #now(): number {
    return this.#clocks.wall() - this.#clocks.monotonic()
  }

  /** By how many milliseconds the wall clock jumped since the last look; 0 for none, or for slewing. */
  look(): number {
    const offset = this.#now()
    const moved = Math.round(offset - this.#offset)
    this.#offset = offset
    return Math.abs(moved) > this.#jumpMs ? moved : 0
  }
}
