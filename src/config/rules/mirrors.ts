/** Rules about mirrors. */
import type { Draft } from '../draft.ts'
import { checkDelivery } from './deliveries.ts'
import { checkMessage } from './messages.ts'

export function checkMirrors(draft: Draft): void {
  for (const entry of draft.mirrors()) {
    checkDelivery(draft, entry, (sink, options) => sink.legs(options).length)
    checkMessage(draft, entry)
  }
}
