/** Who signed in, and who could not, as entries of the activity log: so few that guessing fills no disk. */
import { type Actor, type AuditTrail, theGateway } from '../contract/audit-trail.ts'
import { limits } from '../contract/limits.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import { Tally } from '../telemetry/tally.ts'
import { addressKey } from './lockout.ts'

/** After so long a silence the next request of a client is a sign-in again. */
const SILENCE_MS = 3_600_000
/** Setting of the store: who was seen when, so that a restart is no silence. */
const SEEN = 'admin_seen'

/** How somebody tried to sign in. */
export type SignInActivity = 'token_login' | 'session_login'

interface SignInTrailParts {
  readonly trail: AuditTrail
  readonly store: Pick<Store, 'apply' | 'setting'>
  readonly log: Logger
}

export class SignInTrail {
  readonly #trail: AuditTrail
  readonly #store: SignInTrailParts['store']
  readonly #log: Logger
  /** Client and address → its last request; the one that was silent for longest is first. */
  readonly #seen: Map<string, number>
  /** Runs while something was seen that is not written. */
  #writing: NodeJS.Timeout | null = null
  readonly #failures: Tally<Actor>

  constructor({ trail, store, log }: SignInTrailParts) {
    this.#trail = trail
    this.#store = store
    this.#log = log
    this.#seen = seenBefore(store.setting(SEEN))
    this.#failures = new Tally<Actor>({
      kindsMax: limits.sign_in_failed_entries_max,
      others: {
        ...theGateway,
        // A session is asked for with a token too.
        activity: 'token_login',
        request: { ip_address: 'several', user_agent: '' },
      },
      tell: (actor, count) => this.#tellFailed(actor, count),
    })
  }

  /** A request with a token that is known. */
  seen(actor: Actor, now = Date.now()): void {
    const key = `${actor.id} ${addressOf(actor)}`
    const last = this.#seen.get(key)
    this.#seen.delete(key)
    this.#seen.set(key, now)
    this.#writing ??= setTimeout(() => void this.#write(), limits.client_used_write_ms).unref()
    if (last !== undefined && now - last < SILENCE_MS) return
    void this.#trail.record({ event: 'user_login', actor: { ...actor, activity: 'token_login' } })
    if (this.#seen.size <= limits.sign_in_addresses_max) return
    const [oldest = ''] = this.#seen.keys()
    this.#seen.delete(oldest)
  }

  /** A token that is not known or too old, or any from an address that is locked. */
  failed(actor: Actor, activity: SignInActivity): void {
    this.#failures.add(`${activity} ${addressKey(addressOf(actor))}`, { ...actor, activity })
  }

  /** The failure that locks its address. */
  lockedOut(actor: Actor): void {
    void this.#trail.record({ event: 'client_locked_out', actor })
  }

  #tellFailed(actor: Actor, count: number): void {
    void this.#trail.record({ event: 'user_login_failed', actor, details: { count } })
  }

  async #write(): Promise<void> {
    if (this.#writing !== null) clearTimeout(this.#writing)
    this.#writing = null
    const value = JSON.stringify([...this.#seen])
    await this.#store.apply([{ type: 'setting', name: SEEN, value }]).catch((error: unknown) => {
      this.#log.warn({ err: error }, 'writing who signed in failed')
    })
  }

  /** Tells what was not told yet, and writes what was not written. */
  async close(): Promise<void> {
    this.#failures.flush()
    if (this.#writing !== null) await this.#write()
  }
}

function seenBefore(setting: unknown, now = Date.now()): Map<string, number> {
  const pairs = typeof setting === 'string' ? (JSON.parse(setting) as [string, number][]) : []
  // A time that is yet to come is of a clock that was wrong.
  return new Map(pairs.filter(([, at]) => at <= now && now - at < SILENCE_MS))
}

function addressOf({ request }: Actor): string {
  return request?.ip_address ?? ''
}
