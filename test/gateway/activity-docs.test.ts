/** Every curl line of docs/activity-api.md works as it stands there, and answers what stands below it. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type CurlAnswer, runCurl } from '../support/curl.ts'
import { startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'

interface Example {
  readonly lines: readonly string[]
  /** What the last of them answers. */
  readonly answer: unknown
}

const page = readFileSync(new URL('../../docs/activity-api.md', import.meta.url), 'utf8')
const examples: Example[] = [...page.matchAll(/```sh\n(.*?)```\n(?:```json\n(.*?)```\n)?/gs)].map(
  ([, block = '', json]) => ({
    lines: block.split(/\n(?=curl )/).map((line) => line.trim()),
    answer: json === undefined ? null : JSON.parse(json),
  }),
)

test('the page has examples of every route', () => {
  const lines = examples.flatMap((example) => example.lines).join('\n')
  for (const route of [
    'POST "$ADMIN/api/activity_logs"',
    'activity_logs?',
    '/$ID',
    '/stats',
    '/export',
    '/jwks',
  ])
    expect(lines).toContain(route)
})

test('its examples, in their order', async () => {
  const { url } = await startUpstream()
  const token = 'token-of-systems'
  const gateway = await startTestGateway({
    config: {
      environment: 'prod',
      collections: [{ name: 'orders', upstreams: [{ url }] }],
      admin: { clients: [{ name: 'systems', token, role: 'operator', environment: 'dev' }] },
    },
  })
  let id = 0
  for (const { lines, answer } of examples) {
    let last: CurlAnswer | undefined
    for (const line of lines) {
      const command = line
        .replaceAll('$ADMIN', 'http://127.0.0.1:9901')
        .replaceAll('$TOKEN', token)
        .replaceAll('$ID', String(id))
      last = await runCurl(command, gateway.adminPort)
      expect(last.status, `${line}: ${last.text}`).toBe(line.includes('POST') ? 202 : 200)
      expect(last.text.length).toBeGreaterThan(10)
    }
    const { ids } = ((last?.json as { data?: { ids?: number[] } } | null)?.data ?? {}) as { ids?: number[] }
    id = ids?.[0] ?? id
    // The number that the log gives depends on what it holds already.
    const said = JSON.parse(JSON.stringify(answer).replaceAll(/\b41\b/g, String(id))) as unknown
    if (answer !== null) expect(last?.json).toEqual(said)
  }
})
