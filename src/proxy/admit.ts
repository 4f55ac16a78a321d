/**
 * Whether a request may go on, and where to: checks of the head alone, made once, before anything is sent.
 */
import type { GatewayErrorCode } from '../contract/errors.ts'
import { type RequestHead, validHost } from './request-head.ts'
import type { Collection, Snapshot } from './snapshot.ts'
import { hostName } from './route.ts'

/** What admission finds out; fields keep their first value where it did not come that far. */
export interface Admitted {
  /** Authority as the client sent it; empty only for HTTP/1.0. */
  host: string
  /** Path and query. */
  target: string
  path: string
  collection: Collection | null
}

const absoluteForm = /^https?:\/\/([^/?#]*)(.*)$/i
/**
 * RFC 3986 §3: a fragment never goes over the wire; controls never do. Bytes above ASCII pass as they came.
 */
const badTarget = /[^\x21\x22\x24-\x7e\x80-\xff]/

/**
 * RFC 9112 §3.2: exactly one valid Host in HTTP/1.1. The authority of an absolute target stands above it, and
 * is refused where the two differ: whoever guards by Host must see the name that counts.
 */
function badTargetOrHost(head: RequestHead, into: Admitted): boolean {
  if (head.hosts !== 1 && (head.hosts > 1 || !head.old)) return true
  if (head.hosts === 1 && !validHost(head.host)) return true
  into.host = head.host
  let { target } = head
  if (target.charCodeAt(0) !== 0x2f) {
    const absolute = absoluteForm.exec(target)
    if (absolute === null || !validHost(absolute[1] as string)) return true
    into.host = absolute[1] as string
    if (head.hosts === 1 && head.host.toLowerCase() !== into.host.toLowerCase()) return true
    target = absolute[2] as string
    if (target.charCodeAt(0) !== 0x2f) target = `/${target}`
  }
  into.target = target
  const query = target.indexOf('?')
  into.path = query === -1 ? target : target.slice(0, query)
  return badTarget.test(target)
}

/** The code that the request is refused with, or null. */
export function admit(
  head: RequestHead,
  snapshot: Snapshot,
  refusing: boolean,
  into: Admitted,
): GatewayErrorCode | null {
  // Its target is no path (RFC 9110 §9.3.6), and it is never wanted.
  if (head.method === 'CONNECT') return 'method_not_allowed'
  if (badTargetOrHost(head, into)) return 'bad_request'
  if (head.expects === 'unknown') return 'expectation_failed'
  if (!snapshot.methods.has(head.method)) return 'method_not_allowed'
  if (refusing) return 'draining'
  const collection = snapshot.router.route(into.host === '' ? '' : hostName(into.host), into.path)
  if (collection === 'ambiguous') return 'bad_request'
  if (collection === null) return 'no_route'
  into.collection = collection
  if (collection.bodyBytesMax > 0 && head.contentLength > collection.bodyBytesMax) return 'body_too_large'
  return null
}
