/** The page about configuration by API: each of its lines, in order, is answered as it says. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { mirrorConfig, startTestGateway } from '../support/gateway.ts'
import { parseCurl } from '../support/curl.ts'
import { ask } from '../support/resources.ts'

test('every line of docs/config-api.md does what the page says', async () => {
  const page = await readFile(new URL('../../docs/config-api.md', import.meta.url), 'utf8')
  const lines = [...page.matchAll(/^```sh\n(curl[\s\S]*?)\n# (\d{3})\n```$/gm)]
  expect(lines.length).toBe([...page.matchAll(/^```/gm)].length / 2)
  expect(lines.length).toBeGreaterThan(10)
  const nowhere = 'http://127.0.0.1:9'
  const gateway = await startTestGateway({ config: mirrorConfig({ upstream: nowhere, collector: nowhere }) })
  let etag = ''
  for (const [, line = '', status] of lines) {
    const { method, path, headers, body } = parseCurl(line.replaceAll('$TOKEN', 'token'))
    expect(headers['authorization']).toBe('Bearer token')
    const answer = await ask(gateway, method, path, {
      ...(body === null ? {} : { body: JSON.parse(body) as unknown }),
      ...(headers['content-type'] === undefined ? {} : { type: headers['content-type'] }),
      ...(headers['if-match'] === undefined ? {} : { ifMatch: headers['if-match'].replace('$ETAG', etag) }),
    })
    expect(answer.status, `${line}\n${answer.text}`).toBe(Number(status))
    if (method === 'GET' && answer.etag !== null) etag = answer.etag
    if (status === '400')
      expect(answer.json['errors']).toEqual({ 'sample.rate': ['must be at most 1, got 10'] })
  }
})
