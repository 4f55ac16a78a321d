/** Who signed in, and who could not, as entries of the activity log: so few that guessing fills no disk. */
import { type Actor, type AuditTrail, theGateway } from '../contract/audit-trail.ts'
import { limits } from '../contract/limits.ts'
import { Tally } from '../telemetry/tally.ts'
import { addressKey } from './lockout.ts'

/** After so long a silence the next request of a client is a sign-in again. */
const SILENCE_MS = 3_600_000

export class SignInTrail {
  readonly #trail: AuditTrail
  /** Client and address → its last request; the one that was silent for longest is first. */
  readonly #seen = new Map<string, number>()
  readonly #failures: Tally<Actor>

  constructor(trail: AuditTrail) {
    this.#trail = trail
    this.#failures = new Tally<Actor>({
      kindsMax: limits.sign_in_failed_entries_max,
      others: { ...theGateway, request: { ip_address: 'several', user_agent: '' } },
      tell: (actor, count) => this.#tellFailed(actor, count),
    })
  }

  /** A request with a token that is known. */
  seen(actor: Actor, now = Date.now()): void {
    const key = `${actor.id} ${addressOf(actor)}`
    const last = this.#seen.get(key)
    this.#seen.delete(key)
    this.#seen.set(key, now)
    if (last !== undefined && now - last < SILENCE_MS) return
    void this.#trail.record({ event: 'user_login', actor: { ...actor, activity: 'token_login' } })
    if (this.#seen.size <= limits.sign_in_addresses_max) return
    const [oldest = ''] = this.#seen.keys()
    this.#seen.delete(oldest)
  }

  /** A request with a token that is not known, or from an address that is locked. */
  failed(actor: Actor): void {
    this.#failures.add(addressKey(addressOf(actor)), actor)
  }

  /** The failure that locks its address. */
  lockedOut(actor: Actor): void {
    void this.#trail.record({ event: 'client_locked_out', actor })
  }

  #tellFailed(actor: Actor, count: number): void {
    void this.#trail.record({
      event: 'user_login_failed',
      actor: { ...actor, activity: 'token_login' },
      details: { count },
    })
  }

  /** Tells what was not told yet. */
  close(): void {
    this.#failures.flush()
  }
}

function addressOf({ request }: Actor): string {
  return request?.ip_address ?? ''
}
