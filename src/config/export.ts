/** The whole effective configuration as YAML that loads again: references stay, secrets in clear do not. */
import { Document, isScalar, type Scalar } from 'yaml'
import { redactedMark } from '../contract/resources.ts'
import type { Usable } from './load.ts'
import { keysOf, pointerTo } from './places.ts'
import { type SecretTexts, valueAt } from './secret-texts.ts'

/** For what it leaves out, a variable and a comment that says so. */
export function exportText(
  { config, source }: Pick<Usable, 'config' | 'source'>,
  secrets: SecretTexts,
): string {
  const document = new Document(source.effective, { aliasDuplicateObjects: false })
  document.commentBefore =
    ` The effective configuration ${config.hash} of mirrorgate: the file and what the API defined.\n` +
    ' Relative paths are relative to the folder of the file it came from.'
  for (const [pointer, text] of source.raw) replace(document, pointer, text)
  const taken = new Set<string>()
  for (const [pointer, shown] of secrets.ofFile(source.written)) {
    const name = unusedName(variableName(source.effective, pointer), taken)
    const [text, comment] = withoutSecrets(shown, name)
    replace(document, pointer, text, comment)
  }
  return document.toString({ lineWidth: 0 })
}

/** What stands in the file instead of a covered text. */
function withoutSecrets(shown: string, name: string): [text: string, comment: string] {
  const bare = shown.replaceAll(`:-${redactedMark}}`, '}')
  if (!bare.includes(redactedMark)) return [bare, ' the default is not exported: set the variable']
  return [bare.replaceAll(redactedMark, `\${env:${name}}`), ' the value is not exported: set this variable']
}

function replace(document: Document, pointer: string, text: string, comment?: string): void {
  const node = document.getIn(path(document, pointer), true)
  if (!isScalar(node)) return
  const scalar = node as Scalar
  scalar.value = text
  if (comment !== undefined) scalar.comment = comment
}

function path(document: Document, pointer: string): (string | number)[] {
  const keys: (string | number)[] = []
  for (const key of keysOf(pointer)) {
    const around = keys.length === 0 ? document.contents : document.getIn(keys, true)
    keys.push(
      around !== null && typeof around === 'object' && 'items' in around && isList(around)
        ? Number(key)
        : key,
    )
  }
  return keys
}

function isList(node: object): boolean {
  return node.constructor.name === 'YAMLSeq'
}

/** Names that differ in marks alone would be one variable: each secret has its own. */
function unusedName(name: string, taken: Set<string>): string {
  let unused = name
  for (let at = 2; taken.has(unused); at++) unused = `${name}_${at}`
  taken.add(unused)
  return unused
}

/** `MIRRORGATE_CONNECTIONS_SALT_SECURITY_HEADERS_AUTHORIZATION`: elements of lists by their names. */
function variableName(tree: unknown, pointer: string): string {
  const words: string[] = []
  let at = ''
  for (const key of keysOf(pointer)) {
    at = pointerTo(at, key)
    const name = valueAt(tree, `${at}/name`)
    words.push(/^\d+$/.test(key) && typeof name === 'string' ? name : key)
  }
  return `MIRRORGATE_${words
    .join('_')
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]+/g, '_')}`
}
