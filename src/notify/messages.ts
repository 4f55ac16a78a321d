/** Messages about incidents: what a mail says, and the JSON of a webhook. */
import {
  diskSubject,
  type FactsMirror,
  incidentKinds,
  type IncidentOutcome,
  type PendingNotice,
  type ShownMirror,
} from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import { stepsFor } from './advice.ts'
import { clean, type Outline, type Section, written } from './outline.ts'

export interface Message {
  /** Before the @ of its Message-ID: the same however often it is sent. */
  readonly id: string
  /** The message that it follows up. */
  readonly inReplyTo: string | null
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly headers: Readonly<Record<string, string>>
}

type Told = PendingNotice['incident']

export function incidentMessage(notice: PendingNotice): Message {
  const { incident, event } = notice
  const outline = outlineOf(notice)
  const { text, html } = written(outline)
  const isOpening = event === 'opened'
  return {
    id: `${incident.uid}.${event}`,
    inReplyTo: isOpening ? null : `${incident.uid}.opened`,
    subject: `[mirrorgate ${incident.environment}] ${verb(event)}: ${outline.title}`.slice(0, SUBJECT_CHARS),
    text,
    html,
    headers: { 'X-Mirrorgate-Incident': String(incident.id), 'X-Mirrorgate-Event': event },
  }
}

/** Several events in one mail, each a line or two. */
export function digestMessage(notices: readonly PendingNotice[]): Message {
  const shown = notices.slice(0, limits.digest_incidents_max)
  const [first] = notices as [PendingNotice, ...PendingNotice[]]
  const facts = shown.map(({ incident, event, at }): readonly [string, string] => {
    const { error } = incident.details
    const said = typeof error === 'string' ? `: ${error}` : ''
    const ended = incident.outcome === null ? said : `, ${ending(incident, incident.outcome)}`
    return [moment(at), `${verb(event)}: ${titleOf(incident)}${ended} (incident ${incident.id})`]
  })
  const more = notices.length - shown.length
  const rest: [string, string][] = more > 0 ? [['and', `${more} more`]] : []
  const outline = {
    title: `${notices.length} events in one digest`,
    sections: [
      { heading: 'What happened', facts: [...facts, ...rest] },
      { heading: 'All of it', steps: [{ text: 'Ask the gateway:', command: listCommand(first) }] },
    ],
  }
  return {
    id: `${first.incident.uid}.${first.event}.digest`,
    inReplyTo: null,
    subject: `[mirrorgate ${first.incident.environment}] ${outline.title}`,
    ...written(outline),
    headers: { 'X-Mirrorgate-Event': 'digest' },
  }
}

/** Says that messages arrive. */
export function testMessage(about: { id: string; environment: string; by: string }): Message {
  const outline = {
    title: 'a test of the notifications',
    sections: [{ heading: 'Nothing is wrong', facts: [['asked for by', about.by] as const] }],
  }
  return {
    id: `${about.id}.test`,
    inReplyTo: null,
    subject: `[mirrorgate ${clean(about.environment)}] ${outline.title}`,
    ...written(outline),
    headers: { 'X-Mirrorgate-Event': 'test' },
  }
}

/** The JSON of a webhook. */
export function incidentEvent({ incident, event, at, facts }: PendingNotice): Record<string, unknown> {
  const { uid, legs: _counts, opened_at, updated_at, recovered_at, closed_at, ...rest } = incident
  const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  return {
    id: `${uid}.${event}`,
    type: `incident.${event.replace(/-\d+$/, '')}`,
    at: iso(at),
    workspace: facts.workspace,
    incident: {
      ...rest,
      opened_at: iso(opened_at),
      updated_at: iso(updated_at),
      recovered_at: iso(recovered_at),
      closed_at: iso(closed_at),
      duration_ms: recovered_at === null ? null : recovered_at - opened_at,
    },
    title: titleOf(incident),
    mirrors: shownMirrors(facts.mirrors),
    steps: event === 'closed' ? [] : stepsFor(incident, facts),
    admin_url: facts.admin_url,
  }
}

export function shownMirrors(mirrors: readonly FactsMirror[]): ShownMirror[] {
  return mirrors.map(({ legs, ...mirror }) => {
    const shown = legs.map(({ kept_until: until, ...leg }) => {
      return { ...leg, kept_until: until === null ? null : new Date(until).toISOString() }
    })
    return { ...mirror, legs: shown }
  })
}

const SUBJECT_CHARS = 200

function verb(event: string): string {
  if (event === 'opened') return 'Incident'
  return event === 'closed' ? 'Over' : 'Still open'
}

function titleOf({ kind, subject }: Pick<Told, 'kind' | 'subject'>): string {
  const { about, title } = incidentKinds[kind]
  if (about === 'gateway') return clean(title)
  if (about !== 'backlog') return clean(`${about} ${subject}: ${title}`)
  if (subject === diskSubject) return `${diskSubject}: nearly full`
  const ofStream = /^stream:(.*)/s.exec(subject)
  return clean(`${ofStream === null ? `mirror ${subject}` : `stream ${ofStream[1]}`}: ${title}`)
}

function outlineOf({ incident, event, facts }: PendingNotice): Outline {
  const { details, outcome } = incident
  const answer = details['answer']
  const quote: Section[] =
    typeof answer === 'string' && answer.trim() !== ''
      ? [{ heading: 'What it answered', quote: answer.trim() }]
      : []
  const waiting: Section[] = facts.mirrors.some(({ legs }) => legs.length > 0)
    ? [{ heading: 'What waits', facts: facts.mirrors.flatMap(waitingFacts) }]
    : []
  const what = { heading: 'What happened', facts: happened(incident, facts.workspace) }
  if (event === 'closed' && outcome !== null) {
    return {
      title: titleOf(incident),
      sections: [what, { heading: 'How it ended', facts: endFacts(incident, outcome) }, ...waiting],
    }
  }
  const todo = { heading: 'What to do', steps: stepsFor(incident, facts) }
  return {
    title: titleOf(incident),
    sections: [what, ...quote, todo, ...waiting, acknowledging(incident, facts)],
  }
}

function acknowledging({ id }: Told, { admin_url }: PendingNotice['facts']): Section {
  const url = `${admin_url}/api/incidents/${id}/acknowledge`
  const command = `curl -X POST ${url} -H "Authorization: Bearer $TOKEN"`
  return { heading: 'Taken notice', steps: [{ text: 'So that nobody is reminded of it:', command }] }
}

const shownDetails: Readonly<Record<string, string>> = {
  by: 'by',
  mirror: 'mirror',
  leg: 'leg',
  legs: 'legs',
  reason: 'reason',
  status: 'status',
  error: 'it said',
  reasons: 'lost items',
  used_bytes: 'used',
  max_bytes: 'of',
  free_bytes: 'free disk',
  behind_since: 'oldest that waits',
  removed_from: 'retention removes it',
  file: 'file',
  expires_at: 'ends',
  days_left: 'days left',
  moved_ms: 'moved by (ms)',
  problems: 'problems',
}

function happened(incident: Told, workspace: string): [string, string][] {
  const { kind, opened_at, occurrences, details, environment, id, acknowledged } = incident
  const known = Object.entries(shownDetails).flatMap(([key, name]): [string, string][] => {
    const value = details[key]
    if (value === undefined || value === null) return []
    return [[name, key.endsWith('_bytes') ? bytes(Number(value)) : shown(value)]]
  })
  return [
    ['since', moment(opened_at)],
    ['workspace', `${workspace}, ${environment}`],
    ['incident', `${id} (${kind})${occurrences > 1 ? `, seen ${occurrences} times` : ''}`],
    ...known,
    ...(acknowledged === null ? [] : [['acknowledged by', acknowledged.by] as [string, string]]),
  ]
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join('\n')
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map(([key, inner]) => `${key}: ${shown(inner)}`)
    .join(', ')
}

function endFacts(incident: Told, outcome: IncidentOutcome): [string, string][] {
  const { reason, replayed, lost, purged, dead_lettered, waiting } = outcome
  const counts: [string, number][] = [
    ['items replayed', replayed],
    ['items lost', lost],
    ['thrown away by a person', purged],
    ['refused one by one (dead letters)', dead_lettered],
    ['items that still wait', waiting],
  ]
  const concerns = Object.keys(incident.legs).length > 0
  return [
    ['over since', moment(incident.recovered_at ?? incident.updated_at)],
    ['after', duration((incident.recovered_at ?? incident.updated_at) - incident.opened_at)],
    ...(reason === 'recovered' ? [] : [['because', reason] as [string, string]]),
    ...counts
      .filter(([name, count]) => concerns && (count > 0 || /replayed|lost/.test(name)))
      .map(([name, count]): [string, string] => [name, String(count)]),
  ]
}

function ending(incident: Told, { replayed, lost }: IncidentOutcome): string {
  const after = duration((incident.recovered_at ?? incident.updated_at) - incident.opened_at)
  return Object.keys(incident.legs).length === 0
    ? `after ${after}`
    : `after ${after}, ${replayed} items replayed, ${lost} lost`
}

function waitingFacts({ name, legs }: FactsMirror): [string, string][] {
  return legs.map(({ name: leg, waiting, waiting_bytes, kept_until, url }): [string, string] => {
    const until = kept_until === null ? '' : `, kept until ${moment(kept_until)}`
    return [`${name} ${leg}`, `${waiting} items (${bytes(waiting_bytes)})${until}, for ${url}`]
  })
}

function listCommand({ facts }: PendingNotice): string {
  return `curl "${facts.admin_url}/api/incidents?state=open" -H "Authorization: Bearer $TOKEN"`
}

function moment(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ]
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`
}

function bytes(count: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10)))
  return step === 0 ? `${count} bytes` : `${(count / 1024 ** step).toFixed(1)} ${units[step]}`
}
