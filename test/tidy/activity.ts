/** Every type of activity entry is written by the gateway, and provoked by a test. */
import { activityEvents } from '../../src/contract/activity-events.ts'
import { complaint, lineOf, sources } from './tree.ts'

const table = 'src/contract/activity-events.ts'

/** That nothing else is written, the types say: who writes an entry must name a row. */
export function untoldEvents(): string[] {
  const text = sources.find(({ path }) => path === table)?.text ?? ''
  const told = sources.filter(({ path }) => path.startsWith('src/') && path !== table)
  const provoked = sources.filter(({ path }) => path.endsWith('.test.ts'))
  return Object.keys(activityEvents).flatMap((event) => {
    const line = lineOf(text, text.indexOf(`  ${event}: `))
    const within = (places: typeof sources) => places.some((source) => source.text.includes(event))
    if (!within(told)) return [complaint(table, line, `nothing writes ${event}, remove it`)]
    return within(provoked) ? [] : [complaint(table, line, `no test provokes ${event}, write one`)]
  })
}
