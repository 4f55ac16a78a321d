/** What of the configuration the API can define beside the file, and how such a definition is named. */
import type { Json } from './activity.ts'

/** Sections of the configuration, and segments of paths: `/api/mirrors/salt`. */
export const resourceKinds = ['collections', 'connections', 'mirrors', 'streams'] as const
export type ResourceKind = (typeof resourceKinds)[number]

export const resourceNouns = Object.freeze({
  collections: 'collection',
  connections: 'connection',
  mirrors: 'mirror',
  streams: 'stream',
} as const)

/** Those that deliver: each of them names a sink. */
export const deliveryKinds = ['mirrors', 'streams'] as const
export type DeliveryKind = (typeof deliveryKinds)[number]

/** One element of a section as a person wrote it: references as references, no defaults. */
export type Definition = Readonly<Record<string, Json>>

export interface ApiResource {
  readonly kind: ResourceKind
  readonly name: string
  readonly definition: Definition
}

/** What stands in place of a secret in answers; sent back, it stands for the value that is stored. */
export const redactedMark = '[redacted]'

/** Where problems say that a definition of the API stands; a file would say its path. */
export function apiPlace({ kind, name }: Pick<ApiResource, 'kind' | 'name'>): string {
  return `${apiPrefix}${kind}/${name}`
}

export const apiPrefix = 'api:'
