/** Rules about secrets: providers have names of their own, and what is named exists. */
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { IMPLICIT } from '../provider-names.ts'
import type { Draft } from '../draft.ts'
import { pointerTo } from '../places.ts'
import { providersOf, validProvider } from '../validate-providers.ts'

export async function checkSecrets(draft: Draft): Promise<void> {
  names(draft)
  urls(draft)
  const at = '/secrets/key_file'
  const keyFile = draft.sound(at) ? draft.file.secrets?.key_file : undefined
  if (keyFile === undefined) return
  const readable = await access(resolve(draft.folder, keyFile), constants.R_OK).then(
    () => true,
    () => false,
  )
  if (!readable) draft.problem(at, `must be a file that can be read, got ${draft.shown(at, keyFile)}`)
}

function names(draft: Draft): void {
  const seen = new Set<unknown>()
  for (const { entry, pointer } of providersOf(draft.file)) {
    const { name, provider } = entry
    const at = `${pointer}/name`
    if (!draft.sound(at)) continue
    if (seen.has(name)) draft.problem(at, `must be unique, got ${draft.shown(at, name)} again`)
    seen.add(name)
    const definition = draft.providers.get(String(provider))
    const options = definition && validProvider(structuredClone(entry), definition)
    const broken = options && definition.rule?.(options)
    if (broken) draft.problem(pointer, broken)
    for (const key of definition?.secretOptions ?? []) {
      const option = pointerTo(pointer, key)
      if (typeof entry[key] === 'string' && draft.isClear(option))
        draft.warn(option, 'holds a secret in clear text, use ${env:NAME}')
    }
  }
  const at = '/secrets/workato'
  const workato = draft.sound(at) ? draft.file.secrets?.workato : undefined
  if (workato === undefined || workato === IMPLICIT || seen.has(workato)) return
  draft.problem(at, `must be the name of a provider, got ${draft.shown(at, workato)}`)
}

/** A URL that begins in clear text must begin as one; the rest is known when it is needed. */
function urls(draft: Draft): void {
  for (const { value, pointer } of draft.connections()) {
    for (const key of ['base_url', 'proxy_url'] as const) {
      const at = `${pointer}/${key}`
      const text = value[key]
      if (!draft.isDeferred(at) || typeof text !== 'string' || /^(\$\{secret:|https?:\/\/)/i.test(text))
        continue
      draft.problem(at, `must be an absolute http or https URL, got ${draft.shown(at, text)}`)
    }
  }
}
