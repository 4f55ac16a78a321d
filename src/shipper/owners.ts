/** Whose a leg is: a mirror's or a stream's. One name may stand for one of each. */
import type { DeliveryKind } from '../contract/resources.ts'

export interface Owner {
  readonly kind: DeliveryKind
  readonly name: string
}

/** No name holds a colon. */
const STREAM = 'stream:'

/** In the store, in labels of counts, wherever one text must say which. */
export function ownerKey({ kind, name }: Owner): string {
  return kind === 'streams' ? STREAM + name : name
}

export function ownerOf(key: string): Owner {
  return key.startsWith(STREAM)
    ? { kind: 'streams', name: key.slice(STREAM.length) }
    : { kind: 'mirrors', name: key }
}

export function isSame(one: Owner, other: Owner): boolean {
  return one.kind === other.kind && one.name === other.name
}
