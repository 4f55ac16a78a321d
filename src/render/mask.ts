/** Data masking: inputs, outputs and bodies of an event give way to `{"data":"masked"}`. */
import { elementsOf, type Member, membersOf, type Replacement, replaced } from './json-members.ts'

const masked = '{"data":"masked"}'

/** Keys with data, wherever an event may have them: in itself, and in each of its `lines`. */
const dataKeys: ReadonlySet<string> = new Set(['input', 'output', 'request_body', 'response_body'])
/** Keys with data in the halves of an exchange. */
const bodyKeys: ReadonlySet<string> = new Set(['body'])

/** `line`: one JSON object. Whatever is not one is data as a whole. */
export function maskData(line: string): string {
  if (!line.startsWith('{')) return '{"data":"masked","mask_data":true}'
  const edits: Replacement[] = []
  const members = membersOf(line, 0)
  maskObject(line.length, members, dataKeys, edits)
  for (const { key, value, end } of members) {
    if (key === 'lines') {
      for (const element of elementsOf(line, value))
        maskObject(element.end, membersOf(line, element.value), dataKeys, edits)
    } else if (key === 'request' || key === 'response') {
      const half = membersOf(line, value)
      if (half.some((member) => member.key === 'body' && line[member.value] === 'n')) continue
      maskObject(end, half, bodyKeys, edits)
    }
  }
  return replaced(line, edits)
}

/** `end`: behind the closing brace. Says `mask_data` where something was masked. */
function maskObject(
  end: number,
  members: readonly Member[],
  keys: ReadonlySet<string>,
  edits: Replacement[],
): void {
  if (!members.some(({ key }) => keys.has(key))) return
  let said = false
  for (const { key, value, end: valueEnd } of members) {
    if (keys.has(key)) edits.push({ start: value, end: valueEnd, text: masked })
    else if (key === 'body_encoding') edits.push({ start: value, end: valueEnd, text: '"none"' })
    else if (key === 'mask_data') {
      edits.push({ start: value, end: valueEnd, text: 'true' })
      said = true
    }
  }
  if (!said) edits.push({ start: end - 1, end: end - 1, text: ',"mask_data":true' })
}
