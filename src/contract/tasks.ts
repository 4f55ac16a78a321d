/**
 * What main and the two pools say to each other: the tasks of `src/worker.ts`. Plain data only.
 */
import type { EntryFilter } from './activity.ts'
import type { DropReason, OutcomeKind } from './errors.ts'
import type { Half, ItemFormat } from './plugin.ts'

/** One leg as the recorder needs it. */
export interface RecordLeg {
  /** Index in main's list of legs; stable for the life of the process. */
  readonly leg: number
  readonly name: string
  readonly half: Half
  /** Folder of its segments. */
  readonly folder: string
}

/** What a message template says beside the item. */
export interface RecordMessage {
  readonly template: string
  /** Of the mirror. */
  readonly name: string
  readonly workspace: { readonly id: number; readonly name: string; readonly time_zone: string }
}

/** How the recorder writes an exchange for a stream: one line of a log, without its bodies or with them. */
export type ApiFormat = 'api_summary' | 'api_details'

/** One mirror, or stream of exchanges, as the recorder needs it. */
export interface RecordMirror {
  /** Counter slot; what a record in a slab names. */
  readonly slot: number
  readonly legs: readonly RecordLeg[]
  readonly format: ItemFormat | ApiFormat
  /** Of format `template`. */
  readonly message?: RecordMessage
  readonly environment: string
  readonly bodyBytes: number
  readonly requestBody: boolean
  readonly responseBody: boolean
  readonly decode: boolean
  readonly redact: {
    readonly defaults: boolean
    readonly mode: 'mask' | 'remove' | 'hash'
    readonly headers: readonly string[]
    readonly query: readonly string[]
    readonly jsonFields: readonly string[]
    readonly detect: readonly ('card_number' | 'ssn' | 'email' | 'jwt')[]
    /** Of mode `hash`; a secret. */
    readonly hashKey?: string
  }
  /** A frame holds at most this many items and bytes (mirror's batch, sink's own). */
  readonly frameItems: number
  readonly frameBytes: number
  /** An item above this is dropped as `item_too_large`. */
  readonly itemBytes: number
  readonly segmentBytes: number
  readonly fsyncMs: number
}

/** Everything the recorder must know of one configuration; sent as JSON, parsed once per thread. */
export interface RecordPlan {
  readonly generation: number
  readonly mirrors: readonly RecordMirror[]
}

export interface RecordTask {
  readonly slab: ArrayBufferLike
  /** Bytes in use. */
  readonly used: number
  /**
   * Data thread and its running number of the slab: frames carry it, so that a crash can be settled
   * exactly.
   */
  readonly thread: number
  readonly sequence: number
  readonly generation: number
  /** `RecordPlan` as JSON. */
  readonly plan: string
  /** Per leg index: bytes that it may still append; 0 = refuse with `spool_full`. */
  readonly room: Readonly<Record<number, number>>
  /** Leg indexes whose segments may grow old (parked legs). */
  readonly parked: readonly number[]
  /** Per leg index: items that stand in frames already, the first ones, since a recorder died at it. */
  readonly written: Readonly<Record<number, number>>
}

/** One frame as it lies in a segment. */
export interface FrameMeta {
  /** Offset of its header in the segment, bytes. */
  readonly offset: number
  /** Header and payload, bytes. */
  readonly length: number
  readonly items: number
  /** Start of its oldest and newest exchange, Unix milliseconds. */
  readonly oldest: number
  readonly newest: number
}

export interface RecordedFrame extends FrameMeta {
  readonly leg: number
  readonly segment: string
}

export interface RecordDrop {
  readonly leg: number
  readonly reason: DropReason
  readonly items: number
}

export interface RecordResult {
  readonly slab: ArrayBufferLike
  readonly frames: readonly RecordedFrame[]
  readonly drops: readonly RecordDrop[]
  /** Segments that this thread will not append to any more. */
  readonly closed: readonly { readonly leg: number; readonly segment: string }[]
  /** Bodies left out because they could not be redacted. */
  readonly notRedactable: number
  /** First spool error of this task, for the log. */
  readonly error: string | null
}

/** Reads the frame headers of one segment file (start-up, or a backlog that comes to its turn). */
export interface IndexTask {
  readonly path: string
  /** Start here; 0 reads from the segment's own header. */
  readonly from: number
  /** Verify payload checksums too. */
  readonly verify: boolean
}

/** A frame with the data thread and slab that it came from. */
export interface IndexedFrame extends FrameMeta {
  readonly thread: number
  readonly sequence: number
  /** Of the batch that began with it when it was sent last, headers included; 0 for none. */
  readonly batchBytes: number
}

export interface IndexResult {
  readonly frames: readonly IndexedFrame[]
  /** Frames whose checksum is wrong but whose header still tells how many items were lost. */
  readonly corrupt: readonly FrameMeta[]
  /** Bytes of the file that belong to whole frames; what follows is a torn tail. */
  readonly end: number
  /** Bytes that were skipped because they are no frame. */
  readonly skipped: number
}

/** What a stream sets about its messages. */
export interface RenderRules {
  readonly format: 'json' | 'cef' | 'cps'
  readonly dialect: 'plain' | 'konnect'
  /** File of the key that Konnect's lines are signed with; null: they are not. */
  readonly signingKeyFile: string | null
  /** Of `format: json`; null sends events as they are. */
  readonly template: string | null
  readonly maskData: boolean
  readonly environment: string
  readonly workspace: { readonly id: number; readonly name: string; readonly time_zone: string }
  /** Of the stream. */
  readonly name: string
  /** Of Konnect's lines alone. */
  readonly organizationId: string
}

/** How to reach a destination; holds secrets, lives in memory only. */
export interface Target {
  /** Changes with everything below it; a shipper thread keeps one sink per key. */
  readonly key: string
  /** Whose it is; `mirror` is the name alone. */
  readonly owner: string
  readonly mirror: string
  readonly sink: string
  readonly format: ItemFormat
  readonly options: Readonly<Record<string, unknown>>
  /** Names of options whose values are never shown. */
  readonly secretOptions: readonly string[]
  /** Of the gateway that sends: parts of names at the destination. */
  readonly origin: { readonly environment: string; readonly workspaceId: number }
  readonly compression: 'none' | 'gzip' | 'zstd'
  /** What its events are made into before the sink sees them; null leaves items as they are. */
  readonly render: RenderRules | null
  /**
   * Pointers of the texts of the connection, and under `/options`, whose references to secrets are to be
   * replaced before it is delivered to.
   */
  readonly templates: readonly string[]
  readonly connection: {
    readonly baseUrl: string | null
    readonly headers: Readonly<Record<string, string>>
    readonly caseSensitive: boolean
    readonly tls: {
      readonly ca_file?: string
      readonly cert_file?: string
      readonly key_file?: string
      readonly verify: boolean
      readonly server_name?: string
    } | null
    readonly proxyUrl: string | null
    /** Values of secrets that stand somewhere in it: never shown. */
    readonly secretValues: readonly string[]
    /** Sockets to one origin. */
    readonly sockets: number
  }
}

/** A range of a segment file, bytes; items are counted from its first. */
export interface SpoolRange {
  readonly path: string
  readonly from: number
  readonly to: number
  readonly itemFrom: number
  readonly itemTo: number
  /** It is a whole batch: its segment is to say so before it is sent. */
  readonly mark: boolean
  /** It was written a moment ago: it stands in memory, so reading it waits for no disk. */
  readonly fresh: boolean
}

/** A range of ids of the activity log. */
export interface LogRange extends Omit<SpoolRange, 'path' | 'mark' | 'fresh'> {
  readonly log: { readonly dataDir: string; readonly filter: EntryFilter }
  /** What must be found in it. */
  readonly items: number
  readonly bytes: number
}

export interface ShipTask {
  readonly target: Target
  readonly leg: string
  readonly batchId: string
  readonly timeoutMs: number
  /** A range of a segment file or of the activity log, or the payload itself (tests, replays). */
  readonly source: SpoolRange | LogRange | { readonly ndjson: string; readonly items: number }
  /** Return the item itself when it is refused, for the dead letters. */
  readonly keepItem: boolean
}

export type ShipResult =
  | {
      readonly ok: true
      /** Of the HTTP answer, where there was one. */
      readonly status: number | null
      readonly latencyMs: number
      readonly bytes: number
    }
  | {
      readonly ok: false
      readonly kind: OutcomeKind | 'corrupt' | 'bug'
      readonly message: string
      readonly status: number | null
      readonly retryAfterMs: number | null
      readonly answer: string | null
      readonly network: boolean
      readonly latencyMs: number
      /** The refused item, when asked for and it was a single one. */
      readonly item: string | null
      /** For `corrupt`: the frames of the range that cannot be read. */
      readonly corrupt: readonly FrameMeta[]
    }

/** A stream that takes posted events. */
export interface EventLeg {
  /** Index in main's list of legs. */
  readonly leg: number
  readonly stream: string
  readonly folder: string
  /** Types that it asks for, then what of them its rules keep. */
  readonly kinds: readonly string[]
  readonly include: readonly string[]
  readonly exclude: readonly string[]
  readonly frameItems: number
  readonly frameBytes: number
  readonly itemBytes: number
  readonly segmentBytes: number
  /** The segment to go on with, and where; null begins one. */
  readonly segment: { readonly name: string; readonly size: number } | null
  /** Bytes that may still be appended. */
  readonly room: number
}

/** Posted events on their way to the spool. */
export interface PostedBody {
  readonly body: { readonly bytes: Uint8Array } | { readonly path: string }
  /** One event on each line. */
  readonly lines: boolean
}

interface InvalidBody {
  readonly ok: false
  readonly kind: 'invalid'
  /** Of the body, from 1. */
  readonly line: number
  readonly message: string
}

/** `types`: of each event in order, one on each line, which is no work for main to pass on. */
export type EventsVerdict = { readonly ok: true; readonly types: string } | InvalidBody

/** A body that was found good; one at a time. */
export interface EventsTask extends PostedBody {
  readonly types: string
  readonly legs: readonly EventLeg[]
}

export type EventsResult =
  | {
      readonly ok: true
      readonly accepted: number
      readonly frames: readonly RecordedFrame[]
      readonly drops: readonly RecordDrop[]
    }
  | {
      readonly ok: false
      /** No stream asks for the type in `message`. */
      readonly kind: 'unclaimed'
      readonly message: string
    }
  | {
      readonly ok: false
      /** The disk or a spool is; whoever asked takes back what was written. */
      readonly kind: 'full'
      readonly message: string
    }
  | InvalidBody

/** Opens and closes a TCP connection to the host of a URL. */
export interface ProbeTask {
  readonly url: string
  readonly timeoutMs: number
}
