/** Rules about names: each stands for one thing, and what is named exists and is used. */
import { nearest } from '../../contract/nearest.ts'
import type { Draft, Entry } from '../draft.ts'
import { pointerTo } from '../places.ts'

interface Named {
  readonly name: string
}

export function checkNames(draft: Draft): void {
  unique(draft, draft.collections())
  unique(draft, draft.connections())
  unique(draft, draft.mirrors())
  unique(draft, draft.streams())
  unique(draft, draft.adminClients())
  mirrorsOfCollections(draft)
  connectionsInUse(draft)
}

function unique(draft: Draft, entries: readonly Entry<Named>[]): void {
  const seen = new Map<string, string>()
  for (const { value, pointer } of entries) {
    const first = seen.get(value.name)
    if (typeof value.name !== 'string') continue
    if (first === undefined) seen.set(value.name, pointer)
    else
      draft.problem(
        `${pointer}/name`,
        `must be unique, got ${draft.shown(`${pointer}/name`, value.name)} again`,
      )
  }
}

function namesOf(entries: readonly Entry<Named>[]): string[] {
  return entries.map(({ value }) => value.name).filter((name) => typeof name === 'string')
}

function mirrorsOfCollections(draft: Draft): void {
  const known = namesOf(draft.mirrors())
  const used = new Set<string>()
  for (const { value, pointer } of draft.collections()) {
    const list = `${pointer}/mirrors`
    if (!draft.sound(list)) continue
    for (const [at, name] of value.mirrors.entries()) {
      used.add(name)
      if (!known.includes(name)) unknown(draft, pointerTo(list, at), 'a mirror', name, known)
    }
  }
  const sure = draft.collections().every(({ pointer }) => draft.sound(`${pointer}/mirrors`))
  for (const { value, pointer } of sure ? draft.mirrors() : []) {
    if (draft.sound(`${pointer}/name`) && !used.has(value.name)) {
      draft.warn(`${pointer}/name`, 'no collection uses this mirror')
    }
  }
}

function connectionsInUse(draft: Draft): void {
  const known = namesOf(draft.connections())
  const used = new Set<string>()
  for (const { value, pointer } of [...draft.mirrors(), ...draft.streams()]) {
    const at = `${pointer}/connection`
    if (value.connection === undefined || !draft.sound(at)) continue
    used.add(value.connection)
    if (!known.includes(value.connection)) unknown(draft, at, 'a connection', value.connection, known)
  }
  for (const { value, pointer } of draft.connections()) {
    if (draft.sound(`${pointer}/name`, '/mirrors', '/streams') && !used.has(value.name)) {
      draft.warn(`${pointer}/name`, 'no mirror or stream uses this connection')
    }
  }
}

function unknown(draft: Draft, at: string, what: string, name: string, known: readonly string[]): void {
  const guess = nearest(name, known)
  const hint = guess === undefined ? '' : `, did you mean "${guess}"?`
  draft.problem(at, `must be the name of ${what}, got ${draft.shown(at, name)}${hint}`)
}
