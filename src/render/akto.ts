/** Exchanges as records of Akto's data ingestion, which takes every value as text. */
import type { ExchangeItem, HeaderPairs } from '../contract/exchange.ts'
import { httpVersion, statusText } from './http-text.ts'

export function aktoRecord({ ts, client, request, response }: ExchangeItem): object {
  return {
    path: request.path + (request.query === '' ? '' : `?${request.query}`),
    requestHeaders: headersText(request.headers),
    responseHeaders: headersText(response.headers),
    method: request.method,
    requestPayload: request.body ?? '',
    responsePayload: response.body ?? '',
    ip: client.ip,
    destIp: '',
    time: String(Math.floor(Date.parse(ts) / 1000)),
    statusCode: String(response.status ?? 0),
    type: httpVersion(request.http_version),
    status: statusText(response.status),
    akto_account_id: '1000000',
    akto_vxlan_id: '0',
    is_pending: 'false',
    source: 'MIRRORING',
    direction: null,
    process_id: null,
    socket_id: null,
    daemonset_id: null,
    enabled_graph: null,
    tag: null,
  }
}

/** A JSON object as text; fields of one name are one list (RFC 9110 §5.3). */
function headersText(headers: HeaderPairs): string {
  const byName = new Map<string, string>()
  for (const [sent, value] of headers) {
    const name = sent.toLowerCase()
    const before = byName.get(name)
    byName.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  return JSON.stringify(Object.fromEntries(byName))
}
