/** The target of streams, and their figures as Markdown. */
import type { StreamsResult } from '../cases/streams.ts'
import type { Verdict } from './judge.ts'

const EVENTS_PER_SECOND = 20_000

export function judgeStreams(found: StreamsResult | null): Verdict[] {
  const [alone] = found?.drains ?? []
  if (alone === undefined) return []
  const value = alone.eventsPerSecond
  const how = 'events per second of a backlog to a local HTTP sink, one core'
  const met = value >= EVENTS_PER_SECOND
  return [{ target: 'one stream drains', how, value, bound: `>= ${EVENTS_PER_SECOND}`, met, note: '' }]
}

export function streamsText(found: StreamsResult | null): string {
  if (found === null) return ''
  const count = (value: number): string => Math.round(value).toLocaleString('en')
  const rows = found.drains.map(
    ({ streams: many, eventsPerSecond: all, cpuPerEvent }) =>
      `| ${many} | ${count(all)} | ${count(all / many)} | ${cpuPerEvent.toFixed(1)} |`,
  )
  const head = '| streams | events/s | of each | CPU per event, µs |\n| ---: | ---: | ---: | ---: |'
  return `${count(found.entries)} entries of the log to each stream.\n\n${head}\n${rows.join('\n')}`
}
