/** Moments of the activity log: read from ISO 8601, printed as `2024-06-18 19:17:31 UTC`. */

/**
 * What a text names: a day lasts a day, a time without milliseconds lasts its second; both ends belong to it.
 */
export interface Moment {
  readonly first_ms: number
  readonly last_ms: number
}

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
const SECOND_MS = 1000

/** ISO 8601 in the extended form; a space before the time is how the log prints it. */
const dayForm = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](.+))?$/
const timeForm = /^(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(.*)$/
/** A space before digits is the plus sign that a query turned into one. */
const zoneForm = /^(?: ?(?:Z|z|UTC)| ?([+-])(\d\d)(?::?(\d\d))?| (\d\d):?(\d\d))?$/

/** The moment that a text names; null for one that does not exist. Without an offset it is UTC. */
export function parseMoment(text: string): Moment | null {
  const [, year, month, day, time] = dayForm.exec(text) ?? []
  if (year === undefined) return null
  const date = dateOf(Number(year), Number(month), Number(day))
  if (date === null) return null
  return time === undefined ? { first_ms: date, last_ms: date + DAY_MS - 1 } : timeOn(date, time)
}

/** Midnight in UTC; null for a day that no calendar has. */
function dateOf(year: number, month: number, day: number): number | null {
  const at = new Date(Date.UTC(year, month - 1, day))
  const exists = at.getUTCFullYear() === year && at.getUTCMonth() === month - 1 && at.getUTCDate() === day
  return exists ? at.getTime() : null
}

function timeOn(date: number, time: string): Moment | null {
  const [, hour, minute, second = '0', fraction, zone = ''] = timeForm.exec(time) ?? []
  const offset = offsetMs(zone)
  if (hour === undefined || offset === null) return null
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null
  const minutes = Number(hour) * 60 + Number(minute)
  const start = date + minutes * MINUTE_MS + Number(second) * SECOND_MS - offset
  if (fraction === undefined) return { first_ms: start, last_ms: start + SECOND_MS - 1 }
  // Finer than a millisecond: the one before and the one after, so that neither end is lost.
  const digits = fraction.padEnd(9, '0')
  const at = start + Number(digits.slice(0, 3))
  return { first_ms: at + (Number(digits.slice(3)) > 0 ? 1 : 0), last_ms: at }
}

function offsetMs(zone: string): number | null {
  const found = zoneForm.exec(zone)
  if (found === null) return null
  const [, sign, hours, minutes, plusHours, plusMinutes] = found
  const [h, m] = [Number(hours ?? plusHours ?? 0), Number(minutes ?? plusMinutes ?? 0)]
  return h > 23 || m > 59 ? null : (sign === '-' ? -1 : 1) * (h * 60 + m) * MINUTE_MS
}

/** Why a text is no moment. */
export function momentProblem(text: string): string {
  const [, month = '', day = ''] = /^\d{4}-(\d\d)-(\d\d)(?!\d)/.exec(text) ?? []
  const isSwapped = Number(month) > 12 && Number(month) <= 31 && Number(day) >= 1 && Number(day) <= 12
  const hint = isSwapped ? ' (the month comes before the day)' : ''
  const rule = `must be a date in ISO 8601, YYYY-MM-DD or YYYY-MM-DDTHH:mm:ss.SSSZ${hint}`
  return `${rule}, got ${JSON.stringify(text)}`
}

/** As the log prints it. */
export function printedMoment(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
