/** Moments of the activity log: read from ISO 8601, printed as `2024-06-18 19:17:31 UTC`. */

/** What a text names: a day lasts a day, a time without milliseconds lasts its second; both ends belong to it. */
export interface Moment {
  readonly first_ms: number
  readonly last_ms: number
}

const DAY_MS = 86_400_000
const SECOND_MS = 1000

/**
 * ISO 8601 in the extended form; also as the log prints it, with a space and `UTC`. A space before an offset
 * is the plus sign that a query turned into one.
 */
const form =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(Z|z|UTC)| ?([+-]\d\d)(?::?(\d\d))?| (\d\d):?(\d\d))?)?$/

/** The moment that a text names; null for one that does not exist. Without an offset it is UTC. */
export function parseMoment(text: string): Moment | null {
  const found = form.exec(text)
  if (found === null) return null
  const [, year, month, day, hour, minute, second = '0', fraction, , sign, signMinutes, plus, plusMinutes] =
    found
  const date = dateOf(Number(year), Number(month), Number(day))
  if (date === null) return null
  if (hour === undefined) return { first_ms: date, last_ms: date + DAY_MS - 1 }
  const offset = offsetMs(sign ?? `+${plus ?? '00'}`, signMinutes ?? plusMinutes ?? '00')
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59 || offset === null) return null
  const start = date + ((Number(hour) * 60 + Number(minute)) * 60 + Number(second)) * SECOND_MS - offset
  if (fraction === undefined) return { first_ms: start, last_ms: start + SECOND_MS - 1 }
  // Finer than a millisecond: the one before and the one after, so that neither end is lost.
  const digits = fraction.padEnd(9, '0')
  const at = start + Number(digits.slice(0, 3))
  return { first_ms: at + (Number(digits.slice(3)) > 0 ? 1 : 0), last_ms: at }
}

/** Midnight in UTC; null for a day that no calendar has. */
function dateOf(year: number, month: number, day: number): number | null {
  const at = new Date(Date.UTC(year, month - 1, day))
  const exists = at.getUTCFullYear() === year && at.getUTCMonth() === month - 1 && at.getUTCDate() === day
  return exists ? at.getTime() : null
}

function offsetMs(hours: string, minutes: string): number | null {
  const sign = hours.startsWith('-') ? -1 : 1
  const [h, m] = [Number(hours.slice(1)), Number(minutes)]
  return h > 23 || m > 59 ? null : sign * (h * 60 + m) * 60 * SECOND_MS
}

/** Why a text is no moment. */
export function momentProblem(text: string): string {
  const [, month = '', day = ''] = /^\d{4}-(\d\d)-(\d\d)(?!\d)/.exec(text) ?? []
  const isSwapped = Number(month) > 12 && Number(month) <= 31 && Number(day) >= 1 && Number(day) <= 12
  const hint = isSwapped ? ' (the month comes before the day)' : ''
  return `must be a date in ISO 8601, YYYY-MM-DD or YYYY-MM-DDTHH:mm:ss.SSSZ${hint}, got ${JSON.stringify(text)}`
}

/** As the log prints it. */
export function printedMoment(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
