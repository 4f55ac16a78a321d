/** How the parts of the gateway tell what happened, so that it becomes an entry of the activity log. */
import type { Json, NewActivity } from './activity.ts'
import type { ActivityEvent } from './activity-events.ts'
import type { EnvironmentName } from './environments.ts'

/** Who did it: a signed-in client, or the gateway itself. */
export interface Actor {
  /** 0 is the gateway itself. */
  readonly id: number
  readonly name: string
  /** Null: the gateway's own. */
  readonly environment: EnvironmentName | null
  readonly request?: { readonly ip_address: string; readonly user_agent: string }
  /** How it was asked for, where the event does not say it (`details.activity`): `sighup`. */
  readonly activity?: string
}

/** The gateway itself: what it finds out, and what nobody signed in for. */
export const theGateway: Actor = Object.freeze({ id: 0, name: 'mirrorgate', environment: null })

export interface Happening {
  readonly event: ActivityEvent
  readonly actor: Actor
  /** What it is about, without its type; left out for the workspace. */
  readonly resource?: {
    readonly id?: number | string | null
    readonly name: string
    readonly [field: string]: Json | undefined
  }
  /** Never a secret; texts from outside are cut by who gives them. */
  readonly details?: Readonly<Record<string, Json>>
}

export interface AuditTrail {
  /**
   * Writes entries in the order of the calls. Resolves with true once they are durable; with false when they
   * could not be written, which is logged and counted. Never rejects: nothing fails for want of an entry.
   */
  record(...happenings: readonly Happening[]): Promise<boolean>
  /** The entries themselves, for who commits them in one transaction with the change that they tell of. */
  entries(...happenings: readonly Happening[]): NewActivity[]
}
