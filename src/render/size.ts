/** Events that are too large: what they are about stays, their bulk goes. */
import { limits } from '../contract/limits.ts'
import { eachMember, membersOf, type Place, type Replacement, replaced } from './json-members.ts'

/** What stands in the place of what was left out. */
export const oversizeText = 'Log lines exceed size limit'
const instead = JSON.stringify(oversizeText)

/** A value of this many characters is bulk, where leaving out `lines` was not enough. */
const BULK_CHARS = 65_536
/** Among many values, those of this many characters go first, the largest before all. */
const LARGE_CHARS = 1024
/** Member of an event of which nothing but its first small members is left. */
const NOTE = 'oversize'

/** The very same string when it is within the limit; never more than that, whatever the event holds. */
export function withinSize(line: string, bytesMax: number = limits.event_bytes_max): string {
  let text = line
  for (const lessOf of [withoutLines, withoutInnerBulk, withoutOuterBulk, withoutLargest, firstMembers]) {
    // UTF-8 takes at most three bytes for one of these characters.
    if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return text
    text = lessOf(text, bytesMax)
  }
  return text
}

function withoutLines(text: string): string {
  return without(
    text,
    eachMember(text, 0).filter(({ key }) => key === 'lines'),
  )
}

/** Large members of members, such as the bodies of an exchange: the heads beside them stay. */
function withoutInnerBulk(text: string): string {
  const outer = [...eachMember(text, 0).filter(isBulk)]
  return without(
    text,
    outer.flatMap(({ value }) => membersOf(text, value).filter(isBulk)),
  )
}

function withoutOuterBulk(text: string): string {
  return without(text, eachMember(text, 0).filter(isBulk))
}

/** As few values as it takes. */
function withoutLargest(text: string, bytesMax: number): string {
  const large = [...eachMember(text, 0).filter(({ value, end }) => end - value > LARGE_CHARS)]
  large.sort((a, b) => b.end - b.value - (a.end - a.value))
  let over = Buffer.byteLength(text) - bytesMax
  const gone: Place[] = []
  for (const place of large) {
    if (over <= 0) break
    over -= Buffer.byteLength(text.slice(place.value, place.end)) - instead.length
    gone.push(place)
  }
  return without(text, gone)
}

/** As many members as there is room for, in order; a value that is no object has none. */
function firstMembers(text: string, bytesMax: number): string {
  const note = `${JSON.stringify(NOTE)}:${instead}}`
  let out = '{'
  let room = bytesMax - out.length - note.length
  for (const { key, value, end } of eachMember(text, 0)) {
    const member = `${JSON.stringify(key)}:${text.slice(value, end)},`
    const bytes = Buffer.byteLength(member)
    if (bytes > room || key === NOTE) continue
    out += member
    room -= bytes
  }
  return out + note
}

function without(text: string, places: Iterable<Place>): string {
  return replaced(
    text,
    Array.from(places, ({ value, end }): Replacement => ({ start: value, end, text: instead })),
  )
}

function isBulk({ value, end }: Place): boolean {
  return end - value > BULK_CHARS
}
