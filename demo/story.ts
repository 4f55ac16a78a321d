/** What the demo says: the first screen, one exchange as the collector has it, what to try at the end. */
import type { Collector } from './collector.ts'
import type { Stage } from './stage.ts'

export function introduction({ gateway, api, collector }: Stage, rate: number): string[] {
  const [proxy, upstream, sink] = [
    `127.0.0.1:${gateway.port}`,
    `127.0.0.1:${api.port}`,
    `127.0.0.1:${collector.port}`,
  ]
  return [
    '',
    'mirrorgate stands before an API and copies every request and its response to a security collector.',
    'The copies are made beside the way of the request: no client ever waits for the collector.',
    '',
    `  clients ── ${rate} req/s ──► gateway ${proxy} ──► sample API ${upstream}`,
    '                              │ copies, credentials masked',
    `                              └─► disk ──► collector ${sink}`,
    '',
    'The collector will be taken down and brought back. Watch three things: the client p99 and errors (they',
    'should not move), what waits on disk (it should grow, then go), and the account at the end (it should',
    'add up).',
    '"captured" counts items: one for each request, one for its response.',
  ]
}

/** A login as it arrived: the password, the token and the cookie were masked before it left the gateway. */
export function exampleText(collector: Collector): string[] {
  const pair = collector.latest(({ request }) => request.request.path === '/login')
  if (pair === null || pair.request === null || pair.response === null) return ['  (no login was captured)']
  const { request, response } = pair
  const { headers: sent, method, path, body } = request.request
  const { headers: received, status, body: answer } = response.response
  const interesting = new Set(['authorization', 'x-api-key', 'content-type', 'set-cookie'])
  const lines = (list: [string, string][]) =>
    list
      .filter(([name]) => interesting.has(name.toLowerCase()))
      .map(([name, value]) => `    ${name}: ${value}`)
  return [
    `  pair ${request.id}, taken ${response.duration_ms.total.toFixed(1)} ms`,
    `  ► ${method} ${path}`,
    ...lines(sent),
    `    ${body ?? '(no body)'}`,
    `  ◄ ${status ?? '-'}`,
    ...lines(received),
    `    ${answer ?? '(no body)'}`,
  ]
}

export function endText({ gateway, api, collector, tokenFile, folder }: Stage): string[] {
  const proxy = `http://127.0.0.1:${gateway.port}`
  const adminUrl = `http://127.0.0.1:${gateway.adminPort}`
  return [
    '',
    'Everything stays up until Ctrl-C:',
    `  gateway     ${proxy}   (sample API behind it: ${api.url})`,
    `  admin port  ${adminUrl}   (token in ${tokenFile})`,
    `  collector   ${collector.url}   (configuration: ${folder}/gateway.yaml)`,
    '',
    'Try:',
    `  curl -i -H 'Authorization: Bearer my-secret' '${proxy}/orders?page=1&token=my-token'`,
    `  curl ${collector.url}/pairs/latest    # what the collector got of it, a moment later`,
    `  curl -H "Authorization: Bearer $(cat ${tokenFile})" ${adminUrl}/api/mirrors/salt`,
  ]
}
