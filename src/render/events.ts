/** From the events of a batch to the lines that its sink is given. */
import { limits } from '../contract/limits.ts'
import { cefOfEvent } from './cef-event.ts'
import { filler, type RenderFacts } from './fill.ts'
import { konnectLine, type Signer } from './konnect.ts'
import { maskData } from './mask.ts'
import { withinSize } from './size.ts'
import { readTemplate, type TemplateProblem } from './template.ts'

/** Plain data: what a stream sets. */
export interface RenderPlan extends RenderFacts {
  readonly format: 'json' | 'cef' | 'cps'
  /** `konnect`: the lines of Konnect's audit webhooks; `plain`: events as they are, CEF of our own. */
  readonly dialect: 'plain' | 'konnect'
  /** Of `format: json`; null sends events as they are. */
  readonly template: string | null
  readonly maskData: boolean
  /** The `org_id` of Konnect's lines. */
  readonly organizationId: string
}

type Line = (event: string) => string

/** By the plan as JSON, the least recently used first. */
const compiled = new Map<string, Line | null>()

/**
 * `ndjson`: one JSON object and a newline each. Returns as many lines, in order; the very same buffer when
 * there is nothing to do. Never throws for what an event holds; throws for a template that
 * `checkTemplate` refuses.
 */
export function renderEvents(ndjson: Buffer, plan: RenderPlan, signer?: Signer): Buffer {
  const write = signer === undefined ? lineOf(plan) : compile(plan, signer)
  if (write === null && ndjson.length <= limits.event_bytes_max) return ndjson
  const text = ndjson.toString()
  const out: string[] = []
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf('\n', from)
    const end = newline === -1 ? text.length : newline
    // Lines that were posted may end with a carriage return.
    const event = text.slice(from, end).trim()
    const masked = plan.maskData ? maskData(event) : event
    const fitting = withinSize(masked)
    out.push(write === null ? fitting : write(fitting))
    from = end + 1
  }
  return Buffer.from(out.length === 0 ? '' : `${out.join('\n')}\n`)
}

/** What is wrong with a template, and where in it; null when nothing is. */
export function checkTemplate(text: string): TemplateProblem | null {
  const read = readTemplate(text)
  return 'pieces' in read ? null : read
}

function lineOf(plan: RenderPlan): Line | null {
  const key = JSON.stringify(plan)
  const known = compiled.get(key)
  const line = known === undefined ? compile(plan) : known
  compiled.delete(key)
  compiled.set(key, line)
  for (const oldest of compiled.keys()) {
    if (compiled.size <= limits.render_plans_kept) break
    compiled.delete(oldest)
  }
  return line
}

/** Null where events stay as they are, but for what is masked or too large. */
function compile(plan: RenderPlan, signer?: Signer): Line | null {
  const { format, dialect, template } = plan
  if (dialect === 'konnect') return (event) => konnectLine(event, plan, signer)
  if (format === 'cef') return cefOfEvent
  if (format === 'cps') return (event) => `{"event":${event}}`
  if (template === null) return plan.maskData ? (event) => event : null
  const read = readTemplate(template)
  if ('pieces' in read) return filler(read.pieces, plan)
  throw new Error(`the template ${read.message}`)
}
