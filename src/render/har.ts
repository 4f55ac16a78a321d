/** Exchanges as entries of HAR 1.2; `harLog` of the plugin contract makes a log of them. */
import type {
  BodyFields,
  ExchangeItem,
  HeaderPairs,
  RequestPart,
  ResponsePart,
} from '../contract/exchange.ts'
import { cookiePairs, httpVersion, type NamedValue, queryPairs, statusText } from './http-text.ts'

/** Names beyond the standard begin with an underscore, as it asks for. */
export function harEntry(item: ExchangeItem): object {
  const { id, ts, duration_ms, request, response, environment, collection, client, outcome, upstream } = item
  const wait = Math.min(duration_ms.upstream, duration_ms.total)
  return {
    startedDateTime: ts,
    time: duration_ms.total,
    request: harRequest(request),
    response: harResponse(response),
    cache: {},
    timings: { send: 0, wait, receive: Math.max(0, duration_ms.total - wait) },
    connection: String(client.port),
    _id: id,
    _environment: environment,
    _collection: collection,
    _client: client,
    _outcome: outcome,
    _upstream: upstream,
    ...('test' in item && { _test: true }),
  }
}

function harRequest(part: RequestPart): object {
  const { method, scheme, host, path, query } = part
  const mimeType = valueOf(part.headers, 'content-type')
  return {
    method,
    url: `${scheme}://${host}${path}${query === '' ? '' : `?${query}`}`,
    ...head(part),
    cookies: cookiesOf(part.headers, 'cookie'),
    queryString: queryPairs(query),
    // The standard has no word for bodies that are no text.
    ...(part.body !== null && {
      postData: {
        mimeType,
        text: part.body,
        ...(part.body_encoding === 'base64' && { _encoding: 'base64' }),
      },
    }),
    bodySize: part.body_bytes,
    ...notes(part),
  }
}

function harResponse(part: ResponsePart): object {
  const { status, body, body_encoding } = part
  const base64 = body_encoding === 'base64'
  const kept = body === null ? 0 : Buffer.byteLength(body, base64 ? 'base64' : 'utf8')
  return {
    // 0 is what browsers write where there was no answer.
    status: status ?? 0,
    statusText: statusText(status),
    ...head(part),
    cookies: cookiesOf(part.headers, 'set-cookie'),
    content: {
      size: part.truncated || body === null ? Math.max(kept, part.body_bytes) : kept,
      mimeType: valueOf(part.headers, 'content-type'),
      ...(body !== null && { text: body }),
      ...(base64 && { encoding: 'base64' }),
    },
    redirectURL: valueOf(part.headers, 'location'),
    bodySize: part.body_bytes,
    ...notes(part),
  }
}

function head(part: { http_version: string; headers: HeaderPairs }): object {
  return {
    httpVersion: httpVersion(part.http_version),
    headers: part.headers.map(([name, value]): NamedValue => ({ name, value })),
    // Unknown: what was redacted has another size.
    headersSize: -1,
  }
}

function notes({ truncated, decoded_from, redacted, omitted, trailers }: BodyFields): object {
  return {
    ...(truncated && { _truncated: true }),
    ...(decoded_from !== undefined && { _decoded_from: decoded_from }),
    ...(redacted === true && { _redacted: true }),
    ...(omitted !== undefined && { _omitted: omitted }),
    ...(trailers !== undefined && { _trailers: trailers.map(([name, value]) => ({ name, value })) }),
  }
}

function valueOf(headers: HeaderPairs, wanted: string): string {
  return headers.find(([name]) => name.toLowerCase() === wanted)?.[1] ?? ''
}

/** Of Set-Cookie only its first pair is the cookie (RFC 6265 §4.1.1). */
function cookiesOf(headers: HeaderPairs, wanted: 'cookie' | 'set-cookie'): NamedValue[] {
  return headers
    .filter(([name]) => name.toLowerCase() === wanted)
    .flatMap(([, value]) => {
      const pairs = cookiePairs(value)
      return wanted === 'cookie' ? pairs : pairs.slice(0, 1)
    })
}
