/** Rules about streams: events that fit each other, and what is asked of them. */
import { nearest } from '../../contract/nearest.ts'
import { apiKinds, sourcesOf, streamKinds } from '../../contract/stream-events.ts'
import type { Draft, Entry, StreamDraft } from '../draft.ts'
import { pointerTo } from '../places.ts'
import { checkDelivery } from './deliveries.ts'
import { checkStreamMessage } from './messages.ts'

export function checkStreams(draft: Draft): void {
  for (const entry of draft.streams()) {
    const { value, pointer } = entry
    if (draft.sound(`${pointer}/events`)) {
      events(draft, entry)
      checkDelivery(draft, entry, () => sourcesOf(value.events).length)
    }
    if (draft.sound(`${pointer}/match/collections`)) collections(draft, entry)
    checkStreamMessage(draft, entry)
  }
}

function events(draft: Draft, { value, pointer }: Entry<StreamDraft>): void {
  for (const [at, kind] of value.events.entries()) {
    const here = pointerTo(`${pointer}/events`, at)
    if (apiKinds.every((one) => value.events.includes(one)) && kind === 'api_summary')
      draft.problem(here, 'must not stand beside api_details, which holds all of it')
    if (streamKinds.includes(kind)) continue
    const guess = nearest(kind, streamKinds)
    if (guess !== undefined)
      draft.warn(here, `is a type of posted events of your own, did you mean "${guess}"?`)
  }
}

function collections(draft: Draft, { value, pointer }: Entry<StreamDraft>): void {
  const known = draft.collections().map((one) => one.value.name)
  for (const [at, name] of value.match.collections.entries()) {
    if (known.includes(name)) continue
    const here = pointerTo(`${pointer}/match/collections`, at)
    const guess = nearest(name, known)
    const hint = guess === undefined ? '' : `, did you mean "${guess}"?`
    draft.problem(here, `must be the name of a collection, got ${draft.shown(here, name)}${hint}`)
  }
}
