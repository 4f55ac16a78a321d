/** What reads of a thing say of its definition: the definition itself, who made it, and its version. */
import type { FastifyReply } from 'fastify'
import type { ResourceKind } from '../contract/resources.ts'
import type { Commands } from './commands.ts'
import type { ResourceFacts } from './resource-commands.ts'

type Source = Pick<Commands, 'resources'>

/** A view with them; without, where only a backlog is left. */
export function withFacts<T extends { readonly name: string }>(
  { resources }: Source,
  kind: ResourceKind,
  view: T,
): T & Partial<ResourceFacts> {
  return { ...view, ...resources.facts(kind, view.name) }
}

/** RFC 9110 §8.8.3: the version of the definition; what changes by itself, as counts do, is not in it. */
export function tagged(reply: FastifyReply, { resources }: Source, kind: ResourceKind, name: string): void {
  const etag = resources.etag(kind, name)
  if (etag !== null) reply.header('etag', `"${etag}"`)
}
