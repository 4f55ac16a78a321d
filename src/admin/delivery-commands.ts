/** What the admin port may do to mirrors, and to streams, by name. Null for an unknown name. */
import type { Actor } from '../contract/audit-trail.ts'
import type { DeadLetterView, DeliveryView, TestResult } from './commands.ts'

/** Answered with what it was done to. */
export type DeliveryAct = (name: string, actor: Actor) => Promise<DeliveryView | null>

export interface DeliveryCommands {
  list(): DeliveryView[]
  view(name: string): DeliveryView | null
  readonly pause: DeliveryAct
  readonly resume: DeliveryAct
  readonly replay: DeliveryAct
  readonly purgeBacklog: DeliveryAct
  readonly replayDeadLetters: DeliveryAct
  readonly deleteDeadLetters: DeliveryAct
  test(name: string, actor: Actor): Promise<TestResult | null>
  deadLetters(
    name: string,
    page: { after: string | null; size: number },
  ): Promise<{ data: DeadLetterView[]; total: number } | null>
}

/** A message as a stream would send it. */
export interface Preview {
  /** The newest event that there is, or a sample where there is none. */
  event: unknown
  is_sample: boolean
  rendered: string
}

export interface PreviewRequest {
  /** Whose events, and whose settings where the request has none. */
  readonly stream?: string
  readonly message?: string
  readonly format?: 'json' | 'ndjson' | 'cef' | 'cps'
  readonly mask_data?: boolean
}

export interface StreamCommands {
  /** Sends what the log holds between two moments (Unix milliseconds, inclusive) again. */
  replayRange(
    name: string,
    range: { readonly from: number; readonly to: number },
    actor: Actor,
  ): Promise<DeliveryView | null>
  /** Whether something of such a range still waits. */
  isReplaying(name: string): boolean
  /** Null for an unknown stream; `problem` for a template that is none. */
  preview(request: PreviewRequest): Promise<Preview | { problem: string } | null>
}
