/** Metric families of incidents and of what people were told of them. */
import type { Families } from './family.ts'

export interface IncidentFigures {
  readonly open: readonly (readonly [kind: string, count: number])[]
  /** Since the start. */
  readonly notifications: readonly {
    readonly channel: string
    readonly outcome: string
    readonly count: number
  }[]
  readonly pending: readonly (readonly [channel: string, count: number])[]
}

export function addIncidentFamilies(families: Families, figures: () => IncidentFigures): void {
  families.gauge('incidents_open', 'Open incidents.', () =>
    figures().open.map(([kind, value]) => ({ labels: { kind }, value })),
  )
  families.counter('notifications_total', 'Messages about incidents, by what came of each try.', () =>
    figures().notifications.map(({ channel, outcome, count }) => ({
      labels: { channel, outcome },
      value: count,
    })),
  )
  families.gauge('notifications_pending', 'Messages that wait to be sent.', () =>
    figures().pending.map(([channel, value]) => ({ labels: { channel }, value })),
  )
}
