/** What a posted event must be: a job of the printed shape, or anything with a type of its own. */
import { nestsDeeper } from '../contract/json-depth.ts'
import { limits } from '../contract/limits.ts'
import { membersOf, replaced } from '../render/json-members.ts'
import { streamKinds } from '../contract/stream-events.ts'
import { EventProblem, type ScannedEvent } from './event-scan.ts'

const typePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const jobStatuses = ['succeeded', 'failed']

type Fields = Readonly<Record<string, unknown>>

/** The type of an event; throws an EventProblem for what is none. */
export function typeOfEvent({ line, bytes }: ScannedEvent): string {
  const fields = parsed(line, bytes)
  const { type = Object.hasOwn(fields, 'lines') ? 'job_details' : 'job_summary' } = fields
  if (typeof type !== 'string' || !typePattern.test(type))
    throw new EventProblem(
      line,
      `type: must be a name of at most 64 letters, digits, dots, dashes, underscores`,
    )
  if (type === 'job_summary' || type === 'job_details') checkJob(fields, type, line)
  else if (streamKinds.includes(type))
    throw new EventProblem(line, `type: must not be one of the gateway's own, got ${JSON.stringify(type)}`)
  return type
}

function parsed(line: number, bytes: Buffer): Fields {
  let value: unknown
  let isDeep: boolean
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    isDeep = nestsDeeper(text, limits.event_depth_max)
    value = isDeep ? null : JSON.parse(text)
  } catch {
    throw new EventProblem(line, 'must be valid JSON in UTF-8')
  }
  if (isDeep) throw new EventProblem(line, `must nest at most ${limits.event_depth_max} levels deep`)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new EventProblem(line, 'must be a JSON object')
  return value as Fields
}

/** The keys without which nobody could tell one job from another. */
function checkJob({ id, status, lines }: Fields, type: string, line: number): void {
  if ((typeof id !== 'string' || id === '') && typeof id !== 'number')
    throw new EventProblem(line, 'id: must be the id of the job')
  if (!jobStatuses.includes(String(status)))
    throw new EventProblem(line, `status: must be one of ${jobStatuses.join(', ')}`)
  if (type === 'job_details' && !Array.isArray(lines) && typeof lines !== 'string')
    throw new EventProblem(line, 'lines: must be a list')
}

/** A job without its lines: what a summary says of it. */
export function summaryOf(event: Buffer): Buffer {
  const text = event.toString()
  const from = text.indexOf('{')
  const members = membersOf(text, from)
  const at = members.findIndex(({ key }) => key === 'lines')
  const [before, lines, after] = [members[at - 1], members[at], members[at + 1]]
  if (lines === undefined) return event
  // With one of the commas around it.
  const start = before?.end ?? from + 1
  const end = before !== undefined || after === undefined ? lines.end : text.indexOf(',', lines.end) + 1
  return Buffer.from(replaced(text, [{ start, end, text: '' }]))
}
