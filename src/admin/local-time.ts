/** Times as people of one time zone read them: `2024-08-29T14:09:13-07:00`. */

/** Writes Unix milliseconds as ISO 8601 with the offset that holds in the zone at that time. */
export function localTime(timeZone: string): (at: number) => string {
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
  return (at) => {
    const name = format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? ''
    // `GMT` alone where the offset is zero.
    const [, sign = '+', hours = '00', minutes = '00'] = /([+-])(\d\d):(\d\d)/.exec(name) ?? []
    const offset_ms = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === '-' ? -1 : 1)
    return `${new Date(at + offset_ms).toISOString().slice(0, 19)}${sign}${hours}:${minutes}`
  }
}
