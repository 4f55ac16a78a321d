/** The account at the end of the demo: what clients sent, what the gateway says, what the collector has. */
import type { Counts, DeliveryView } from '../src/admin/commands.ts'
import type { Collector, CollectorLeg } from './collector.ts'

export interface AccountInput {
  /** Requests that clients sent and got an answer to. */
  answered: number
  client_errors: number
  /** Exit code of the gateway; undefined while it still runs. */
  exit_code?: number | null
  mirror: DeliveryView
  collector: Pick<Collector, 'totals' | 'pairs' | 'forgotten' | 'leaks'>
}

export interface Check {
  readonly holds: boolean
  /** What must hold, with the numbers. */
  readonly text: string
}

export const dropped = (counts: Counts): number =>
  Object.values(counts.dropped).reduce((total, items) => total + items, 0)

/** Every captured item is delivered, waiting, dead-lettered or dropped. */
export const accountedFor = (counts: Counts): number =>
  counts.delivered + counts.waiting + counts.dead_lettered + dropped(counts)

const number = new Intl.NumberFormat('en-US')
const show = (value: number) => number.format(value)

export function checkAccount(input: AccountInput): Check[] {
  const { mirror, answered, collector, client_errors: errors } = input
  const checks: Check[] = [
    { holds: answered > 0, text: `clients got an answer to ${show(answered)} requests` },
    { holds: errors === 0, text: `and saw ${show(errors)} errors` },
  ]
  for (const leg of mirror.legs) {
    const { captured, delivered, waiting } = leg.counts
    const has = collector.totals(leg.name as CollectorLeg).distinct
    checks.push(
      {
        holds: captured === answered,
        text: `${leg.name}: ${show(captured)} captured of ${show(answered)} answered`,
      },
      {
        holds: accountedFor(leg.counts) === captured,
        text: `${leg.name}: ${accountLine(leg.counts)}`,
      },
      { holds: waiting === 0, text: `${leg.name}: ${show(waiting)} still waiting` },
      {
        holds: has === delivered,
        text: `${leg.name}: the collector counts ${show(has)} of ${show(delivered)} delivered`,
      },
    )
  }
  const smallest = Math.min(...mirror.legs.map(({ counts }) => counts.delivered))
  checks.push({
    holds: collector.pairs === smallest && collector.forgotten === 0,
    text: `${show(collector.pairs)} of ${show(smallest)} exchanges are complete pairs`,
  })
  checks.push({
    holds: collector.leaks === 0,
    text: `${show(collector.leaks)} deliveries held a credential that clients or the API had sent`,
  })
  if (input.exit_code !== undefined) {
    checks.push({
      holds: input.exit_code === 0,
      text: `the gateway drained and ended with exit code ${input.exit_code}`,
    })
  }
  return checks
}

function accountLine(counts: Counts): string {
  const parts = [
    `${show(counts.delivered)} delivered`,
    `${show(counts.waiting)} waiting`,
    `${show(counts.dead_lettered)} dead-lettered`,
    `${show(dropped(counts))} dropped`,
  ]
  return `captured ${show(counts.captured)} = ${parts.join(' + ')}`
}

export function formatChecks(checks: readonly Check[]): string[] {
  return checks.map(({ holds, text }) => `  ${holds ? 'ok   ' : 'WRONG'}  ${text}`)
}
