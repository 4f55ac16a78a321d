/** Where a sink's URL option leads: absolute, and never outside the connection's base URL. */
import { checkHttpUrl } from './formats.ts'

export type Destination = { readonly url: string } | { readonly rule: string }

export interface Base {
  readonly url: string | undefined
  /** It holds a reference to a secret: it is known when something is delivered. */
  readonly deferred: boolean
}

export function destinationOf(text: string, { url: baseUrl, deferred }: Base): Destination {
  if (deferred) return pathOnly(text)
  const isPath = text.startsWith('/') && !text.startsWith('//')
  if (baseUrl === undefined) {
    if (isPath)
      return { rule: 'must be an absolute http or https URL, since there is no connection with a base_url' }
    const rule = checkHttpUrl(text)
    return rule === null ? { url: new URL(text).href } : { rule }
  }
  if (/[\s\\#]/.test(text)) return { rule: 'must be a path or URL without spaces, backslashes and fragment' }
  const base = new URL(baseUrl)
  const rootPath = base.pathname.replace(/\/$/, '')
  const rule = isPath ? null : checkHttpUrl(text)
  if (rule !== null)
    return { rule: text.includes('://') ? rule : `must begin with / or with the base_url ${baseUrl}` }
  // The parser undoes dot segments, encoded ones too: what it yields is what would be asked for.
  const url = URL.parse(isPath ? `${base.origin}${rootPath}${text}` : text)
  if (url === null) return { rule: 'must be a valid path' }
  const inside =
    url.origin === base.origin && (url.pathname === rootPath || url.pathname.startsWith(`${rootPath}/`))
  return inside ? { url: url.href } : { rule: `must be within the base_url ${baseUrl}` }
}

/** Below a base URL that is not known yet; that it stays below it is checked by each delivery. */
function pathOnly(text: string): Destination {
  if (/[\s\\#]/.test(text)) return { rule: 'must be a path without spaces, backslashes and fragment' }
  if (text.startsWith('/') && !text.startsWith('//')) return { url: text }
  return { rule: 'must be a path that begins with /, since the base_url is a secret' }
}
