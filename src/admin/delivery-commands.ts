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
  ): { data: DeadLetterView[]; total: number } | null
}
