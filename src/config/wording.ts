/** How problems speak of values and names: never a secret, never more than a line. */

const SHOWN_CHARS = 60

/** A value as it may be shown: credentials and queries of URLs are covered. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`
  if (typeof value === 'object') return 'a section'
  if (typeof value !== 'string') return String(value)
  const covered = withoutQuery(value.replace(/\/\/[^/?#]*@/g, '//***@'))
  const characters = [...covered]
  return JSON.stringify(
    characters.length > SHOWN_CHARS ? `${characters.slice(0, SHOWN_CHARS).join('')}…` : covered,
  )
}

/** What follows the first question mark of a URL is covered, wherever the URL begins. */
function withoutQuery(text: string): string {
  const start = text.indexOf('://')
  const query = start === -1 ? -1 : text.indexOf('?', start)
  return query === -1 ? text : `${text.slice(0, query)}?***`
}

/** A secret as it may be shown. */
export function cover(value: unknown): string {
  return typeof value === 'string' ? `a text of ${plural(value.length, 'character')}` : kindOf(value)
}

function kindOf(value: unknown): string {
  if (typeof value === 'number') return 'a number'
  if (typeof value === 'boolean') return 'true or false'
  return show(value)
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
