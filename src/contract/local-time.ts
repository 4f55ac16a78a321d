/** Times as people of one time zone read them: `2024-08-29T14:09:13-07:00`. */

const MINUTE_MS = 60_000

/**
 * Writes Unix milliseconds as ISO 8601 with the offset that holds in the zone at that time; to the second, or
 * to the millisecond.
 */
export function localTime(timeZone: string, precision: 's' | 'ms' = 's'): (at: number) => string {
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
  const chars = precision === 's' ? 19 : 23
  // Offsets change between minutes: within one it is asked for once.
  let minute = Number.NaN
  let offset = { text: '', ms: 0 }
  return (at) => {
    const current = Math.floor(at / MINUTE_MS)
    if (current !== minute) {
      minute = current
      offset = offsetAt(format, at)
    }
    return `${new Date(at + offset.ms).toISOString().slice(0, chars)}${offset.text}`
  }
}

function offsetAt(format: Intl.DateTimeFormat, at: number): { text: string; ms: number } {
  const name = format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? ''
  // `GMT` alone where the offset is zero.
  const [, sign = '+', hours = '00', minutes = '00'] = /([+-])(\d\d):(\d\d)/.exec(name) ?? []
  const ms = (Number(hours) * 60 + Number(minutes)) * MINUTE_MS * (sign === '-' ? -1 : 1)
  return { text: `${sign}${hours}:${minutes}`, ms }
}
