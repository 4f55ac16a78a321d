/** What goes wrong for long enough that a person must hear of it: the kinds of incidents, and their shape. */
import type { Json } from './activity.ts'
import type { EnvironmentName } from './environments.ts'
import type { DeliveryKind } from './resources.ts'

interface IncidentRow {
  /** What its subject names. */
  readonly about:
    | 'backlog'
    | 'connection'
    | 'mirror'
    | 'leg'
    | 'stream'
    | 'secret'
    | 'certificate'
    | 'gateway'
    | 'file'
  /** Ends the sentence `Connection salt: …`. */
  readonly title: string
  /** When it opens, and when it closes; docs/notifications.md repeats it. */
  readonly meaning: string
}

export const incidentKinds = Object.freeze({
  connection_disconnected: {
    about: 'connection',
    title: 'disconnected by a person',
    meaning: 'A person disconnected it. Ends when it is connected again and what waited is delivered.',
  },
  connection_lost: {
    about: 'connection',
    title: 'connection lost',
    meaning:
      'The destination does not answer, and the retries are spent. Ends when it takes items again and what ' +
      'waited is delivered.',
  },
  mirroring_error: {
    about: 'mirror',
    title: 'mirroring fails',
    meaning:
      'The destination refuses what is sent (401, 403, 404, …), or answers errors until the retries are ' +
      'spent. Ends when it takes items again and what waited is delivered.',
  },
  stream_failed: {
    about: 'stream',
    title: 'streaming fails',
    meaning: 'The same for a stream.',
  },
  spool_nearly_full: {
    about: 'backlog',
    title: 'the backlog is nearly full',
    meaning:
      'A backlog of a mirror or stream takes 80 % of what it may; a stream is so far behind the activity ' +
      'log that retention soon removes what waits for it; or the disk is nearly as full as it may be. Ends ' +
      'below 70 %.',
  },
  data_dropped: {
    about: 'leg',
    title: 'items were lost',
    meaning: 'Items were dropped, for whatever reason. Ends when none was for `quiet_ms`.',
  },
  secret_unavailable: {
    about: 'secret',
    title: 'the secret cannot be read',
    meaning:
      'A secret cannot be read, and deliveries wait for it; or it could not be read three times running ' +
      'while its old value is still used. Ends when it is read.',
  },
  certificate_expiring: {
    about: 'certificate',
    title: 'the certificate expires',
    meaning: 'A certificate of the configuration ends within `certificate_days`. Ends with its successor.',
  },
  clock_jump: {
    about: 'gateway',
    title: 'the clock jumped',
    meaning:
      'The wall clock moved by more than 5 s against the monotonic one. Ends after `quiet_ms` without ' +
      'another jump.',
  },
  config_rejected: {
    about: 'file',
    title: 'the configuration was rejected',
    meaning: 'A reload was refused; the old configuration is in force. Ends with the next accepted one.',
  },
} as const satisfies Record<string, IncidentRow>)

/** The subject of `spool_nearly_full` where no mirror is meant, nor a stream: none can have this name. */
export const diskSubject = 'disk of data_dir'

export type IncidentKind = keyof typeof incidentKinds

export const incidentKindNames = Object.keys(incidentKinds) as readonly IncidentKind[]

export const notificationChannels = ['email', 'webhook'] as const
export type NotificationChannel = (typeof notificationChannels)[number]

export const noticeStates = ['pending', 'sent', 'dropped'] as const

/** What a channel was told of an incident, or is to be told. */
export interface Notice {
  readonly channel: NotificationChannel
  /** `opened`, `closed`, or `reminder-3`. */
  readonly event: string
  readonly state: (typeof noticeStates)[number]
  readonly attempts: number
  readonly last_error: string | null
  readonly sent_at: number | null
}

/** Counts of a leg when its outage was noticed, and what it has to do since the outage is over. */
export interface LegBaseline {
  readonly delivered: number
  readonly dead_lettered: number
  readonly dropped: number
  readonly purged: number
  /** Items that waited when it was over, those delivered by then included; null while it lasts. */
  readonly goal: number | null
}

export interface IncidentOutcome {
  /** `recovered`, `removed`: what it was about is no longer configured. */
  readonly reason: string
  /** Items that had waited and were delivered. */
  readonly replayed: number
  /** Items that were dropped in the meantime, those that a person threw away left out. */
  readonly lost: number
  readonly purged: number
  readonly dead_lettered: number
  /** Items that still wait. */
  readonly waiting: number
}

/** One incident as it is stored; times in Unix milliseconds. */
export interface Incident {
  readonly id: number
  /** For who is told of it by mail or webhook, over all gateways. */
  readonly uid: string
  readonly kind: IncidentKind
  readonly subject: string
  readonly environment: EnvironmentName
  readonly state: 'open' | 'closed'
  readonly opened_at: number
  readonly updated_at: number
  /** When the trouble was over; what waited may have taken longer. */
  readonly recovered_at: number | null
  readonly closed_at: number | null
  /** How often what it is about was seen. */
  readonly occurrences: number
  /** What is known of it; texts are bounded, none holds a secret. */
  readonly details: Readonly<Record<string, Json>>
  /** By `mirror/leg`. */
  readonly legs: Readonly<Record<string, LegBaseline>>
  readonly outcome: IncidentOutcome | null
  readonly acknowledged: { readonly at: number; readonly by: string } | null
  readonly notices: readonly Notice[]
}

/** One leg of a mirror as a message tells of it. */
export interface FactsLeg {
  readonly name: string
  readonly url: string
  readonly waiting: number
  readonly waiting_bytes: number
  /** When the oldest waiting item is dropped as expired; null when none waits. */
  readonly kept_until: number | null
}

/** One mirror or stream that an incident concerns. */
export interface FactsMirror {
  readonly kind: DeliveryKind
  readonly name: string
  readonly sink: string
  readonly connection: string | null
  /** Names of the connection's headers, and references of the secrets in them. */
  readonly headers: readonly string[]
  readonly references: readonly string[]
  readonly legs: readonly FactsLeg[]
}

/** The same for machines: times as everywhere (RFC 3339). */
export type ShownMirror = Omit<FactsMirror, 'legs'> & {
  readonly legs: readonly (Omit<FactsLeg, 'kept_until'> & { readonly kept_until: string | null })[]
}

/** What stood around an incident when it was told of: messages are written from it alone. */
export interface IncidentFacts {
  readonly workspace: string
  /** Of the admin port. */
  readonly admin_url: string
  readonly mirrors: readonly FactsMirror[]
}

/** What waits to be told to a channel. */
export interface PendingNotice {
  readonly channel: NotificationChannel
  readonly event: string
  readonly at: number
  readonly attempts: number
  readonly last_error: string | null
  readonly next_at: number
  /** As it was then. */
  readonly incident: Omit<Incident, 'notices'>
  readonly facts: IncidentFacts
}
