/** Events that are too large: what they are about stays, their bulk goes. */
import { limits } from '../contract/limits.ts'
import { membersOf, type Member, type Place, type Replacement, replaced } from './json-members.ts'

/** What stands in the place of what was left out. */
export const oversizeText = 'Log lines exceed size limit'
const instead = JSON.stringify(oversizeText)

/** A value of this many characters is bulk, where leaving out `lines` was not enough. */
const BULK_CHARS = 65_536

/** The very same string when it is within the limit. */
export function withinSize(line: string, bytesMax: number = limits.event_bytes_max): string {
  let text = line
  for (const bulkOf of [linesOf, innerBulkOf, outerBulkOf]) {
    // UTF-8 takes at most three bytes for one of these characters.
    if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return text
    const edits = bulkOf(text).map(({ value, end }): Replacement => ({ start: value, end, text: instead }))
    text = replaced(text, edits)
  }
  return text
}

function linesOf(text: string): Member[] {
  return membersOf(text, 0).filter(({ key }) => key === 'lines')
}

/** Large members of members, such as the bodies of an exchange: the heads beside them stay. */
function innerBulkOf(text: string): Place[] {
  return membersOf(text, 0)
    .filter(isBulk)
    .flatMap(({ value }) => membersOf(text, value).filter(isBulk))
}

function outerBulkOf(text: string): Member[] {
  return membersOf(text, 0).filter(isBulk)
}

function isBulk({ value, end }: Place): boolean {
  return end - value > BULK_CHARS
}
