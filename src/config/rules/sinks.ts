/** Rules that a sink has of its own: about its options, and about the connection that it is given. */
import type { SinkDefinition } from '../../contract/plugin.ts'
import { secretOptionsOf } from '../delivery-fields.ts'
import type { DeliveryDraft, Draft, Entry } from '../draft.ts'
import { pointerTo } from '../places.ts'

/** `options`: the sink's own keys, null where they are wrong already. */
export function checkSink(
  draft: Draft,
  entry: Entry<DeliveryDraft>,
  sink: SinkDefinition,
  options: Readonly<Record<string, unknown>> | null,
): void {
  if (sink.signsIn === true) transportOnly(draft, entry, sink)
  if (options !== null && draft.sound(entry.pointer)) ownRule(draft, entry, sink, options)
}

/** What a sink with an SDK would not send is refused rather than ignored. */
function transportOnly(draft: Draft, { value, pointer }: Entry<DeliveryDraft>, sink: SinkDefinition): void {
  const connection = draft.connections().find((candidate) => candidate.value.name === value.connection)
  if (connection === undefined || !draft.sound(connection.pointer)) return
  const { base_url, headers } = connection.value
  if (base_url === undefined && Object.keys(headers).length === 0) return
  const at = `${pointer}/connection`
  const rule = `must have neither base_url nor headers, since sink ${sink.name} signs in by its own options`
  draft.problem(at, `${rule}, got ${draft.shown(at, value.connection)}`)
}

function ownRule(
  draft: Draft,
  { value, pointer }: Entry<DeliveryDraft>,
  sink: SinkDefinition,
  options: Readonly<Record<string, unknown>>,
): void {
  const broken = sink.rule?.(options) ?? null
  if (broken === null) return
  const at = pointerTo(pointer, broken.key)
  if (!draft.isSet(at)) return draft.problem(pointer, `${broken.key} ${broken.rule}`)
  const hidden = secretOptionsOf(sink).includes(broken.key)
  const got = draft.shown(at, options[broken.key] ?? value[broken.key])
  draft.problem(at, hidden ? broken.rule : `${broken.rule}, got ${got}`)
}
