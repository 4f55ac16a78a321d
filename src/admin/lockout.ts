/** Failed sign-ins, per client address and of all together: bounded in number and in time. */
import { isIPv6 } from 'node:net'
import { limits } from '../contract/limits.ts'

const WINDOW_MS = 60_000

/** The key of an address: an IPv4 address, or the /64 of an IPv6 one, which one client has as a whole. */
export function addressKey(address: string): string {
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('%', 1)[0]?.split('::') ?? []
  const groups = head === '' ? [] : head.split(':')
  // RFC 4291 §2.2: `::` stands for as many zero groups as are missing.
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length)
  const all = [...groups, ...Array<string>(missing).fill('0'), ...(tail === undefined ? [] : tail.split(':'))]
  return all.slice(0, 4).join(':')
}

export class Lockout {
  readonly #failures = new Map<string, { count: number; until: number }>()

  /** Milliseconds until the address may try again; 0 when it may now. */
  waitMs(address: string, now = Date.now()): number {
    const entry = this.#failures.get(addressKey(address))
    if (entry === undefined || entry.until <= now) return 0
    return entry.count >= limits.sign_in_failures_per_minute ? entry.until - now : 0
  }

  /** Notes a failure; true when it is the one that locks the address, which one alone never does. */
  fail(address: string, now = Date.now()): boolean {
    const key = addressKey(address)
    const known = this.#failures.get(key)
    if (known !== undefined && known.until > now) {
      known.count += 1
      return known.count === limits.sign_in_failures_per_minute
    }
    this.#failures.delete(key)
    if (this.#failures.size >= limits.sign_in_addresses_max) this.#forgetOldest()
    this.#failures.set(key, { count: 1, until: now + WINDOW_MS })
    return false
  }

  /** Entries stand in the order of their windows, so the first one ends first. */
  #forgetOldest(): void {
    for (const key of this.#failures.keys()) {
      this.#failures.delete(key)
      return
    }
  }
}

/** Guessing from many addresses at once: each of them stays below its own bound, all together must not. */
export class GuessFlood {
  #failures = 0
  #until = 0
  /** Addresses that signed in; the one seen longest ago first. */
  readonly #known = new Set<string>()

  /** Milliseconds until an address that never signed in may try; 0 when it may now. */
  waitMs(address: string, now = Date.now()): number {
    if (this.#until <= now || this.#failures < limits.sign_in_failures_per_minute_all) return 0
    return this.#known.has(addressKey(address)) ? 0 : this.#until - now
  }

  /** Notes a failure; true when it is the one from which on new addresses have to wait. */
  fail(now = Date.now()): boolean {
    if (this.#until <= now) {
      this.#failures = 0
      this.#until = now + WINDOW_MS
    }
    this.#failures += 1
    return this.#failures === limits.sign_in_failures_per_minute_all
  }

  succeed(address: string): void {
    const key = addressKey(address)
    this.#known.delete(key)
    this.#known.add(key)
    if (this.#known.size <= limits.sign_in_known_addresses_max) return
    const [oldest = ''] = this.#known
    this.#known.delete(oldest)
  }
}
