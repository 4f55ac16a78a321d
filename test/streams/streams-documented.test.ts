/** The page about streams: each of its lines, in order, is answered as it says. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parseCurl } from '../support/curl.ts'
import { startTestGateway } from '../support/gateway.ts'
import { ask } from '../support/resources.ts'

test('every line of docs/streams.md does what the page says', async () => {
  const page = await readFile(new URL('../../docs/streams.md', import.meta.url), 'utf8')
  const lines = [...page.matchAll(/^```sh\n(curl[\s\S]*?)\n# (\d{3})\n```$/gm)]
  expect(lines.length).toBe([...page.matchAll(/^```sh$/gm)].length)
  expect(lines.length).toBeGreaterThan(5)
  const gateway = await startTestGateway({
    config: {
      collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }],
      connections: [{ name: 'SIEM', base_url: 'http://127.0.0.1:9' }],
    },
  })
  for (const [, line = '', status] of lines) {
    const { method, path, headers, body } = parseCurl(line.replaceAll('$TOKEN', 'token'))
    expect(headers['authorization']).toBe('Bearer token')
    const sent = body === null ? {} : { body: JSON.parse(body) as unknown }
    const answer = await ask(gateway, method, path, sent)
    expect(answer.status, `${line}\n${answer.text}`).toBe(Number(status))
  }
})
