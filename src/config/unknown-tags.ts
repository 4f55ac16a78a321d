/** Handles in a configuration that no tag has: only the running gateway knows its tags. */
import { pathOf } from './places.ts'
import type { Config } from './schema.ts'

/** One sentence for each; the tag may be created later, so that it is no problem. */
export function unknownTags(
  { collections, mirrors }: Pick<Config, 'collections' | 'mirrors'>,
  isTag: (handle: string) => boolean,
): string[] {
  const lists = [
    ...collections.map(({ tags }, at) => ({ pointer: `/collections/${at}/tags`, tags })),
    ...mirrors.map(({ match }, at) => ({ pointer: `/mirrors/${at}/match/tags`, tags: match.tags })),
  ]
  return lists.flatMap(({ pointer, tags }) =>
    tags.flatMap((tag, at) => {
      if (isTag(tag)) return []
      return [`${pathOf(`${pointer}/${at}`)}: no tag has this handle yet, got ${JSON.stringify(tag)}`]
    }),
  )
}
