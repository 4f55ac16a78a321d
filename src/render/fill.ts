/** Fills a template in for one event after the other. */
import { hostname } from 'node:os'
import { version } from '../contract/version.ts'
import { preciseNow, timeForms } from './clock.ts'
import { textAt } from './json-members.ts'
import type { Pieces, Placeholder } from './template.ts'

/** Whose events they are: what a template may say beside the event. */
export interface RenderFacts {
  readonly environment: string
  readonly workspace: { readonly id: number; readonly name: string; readonly time_zone: string }
  /** Of the stream or mirror. */
  readonly name: string
}

/** One event as JSON text on one line, and the moment of its rendering → JSON text. */
type Value = (line: string, now: number, path: readonly string[]) => string

/** Returns what makes one line of one event, both as JSON text. */
export function filler(
  pieces: Pieces,
  facts: RenderFacts,
  clock: () => number = preciseNow,
): (line: string) => string {
  const values = valuesOf(facts)
  const steps = pieces.map((piece) => (typeof piece === 'string' ? piece : stepOf(piece, values)))
  return (line) => {
    const now = clock()
    let out = ''
    for (const step of steps) out += typeof step === 'string' ? step : step(line, now)
    return out
  }
}

function stepOf(
  { name, path, quoted }: Placeholder,
  values: Readonly<Record<string, Value>>,
): (line: string, now: number) => string {
  const value = values[name] as Value
  return quoted ? (line, now) => withinString(value(line, now, path)) : (line, now) => value(line, now, path)
}

/** JSON text as a part of a JSON string: a string without its quotes, nothing for null. */
function withinString(json: string): string {
  if (json.startsWith('"')) return json.slice(1, -1)
  return json === 'null' ? '' : JSON.stringify(json).slice(1, -1)
}

function valuesOf({ environment, workspace, name }: RenderFacts): Readonly<Record<string, Value>> {
  const constant = (value: string | number): Value => {
    const text = JSON.stringify(value)
    return () => text
  }
  const times = Object.entries(timeForms(workspace.time_zone)).map(([form, write]): [string, Value] => [
    form,
    (_, now) => write(now),
  ])
  return {
    ...Object.fromEntries(times),
    log_message: (line) => line,
    log_message_str: (line) => JSON.stringify(line),
    event: (line, _, path) => eventField(line, path) ?? 'null',
    environment: constant(environment),
    workspace: constant(workspace.name),
    workspace_id: constant(workspace.id),
    name: constant(name),
    version: constant(version),
    hostname: constant(hostname()),
  }
}

/** `event.type` is the type of any event: activity entries call it `event_type`. */
function eventField(line: string, path: readonly string[]): string | null {
  const field = textAt(line, path)
  return field === null && path.length === 1 && path[0] === 'type' ? textAt(line, ['event_type']) : field
}
