/** The example of plugins/README.md is this folder's example-sink.ts, and it conforms. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import example from './example-sink.ts'
import { sinkConformance } from './sink-suite.ts'

sinkConformance({
  definition: example,
  options: (url) => ({ url: `${url}/events`, index: 'api' }),
  http: ({ body }) => JSON.parse(body.toString()).events,
})

test('the page shows the code that is tested', async () => {
  const page = await readFile(new URL('../../plugins/README.md', import.meta.url), 'utf8')
  const code = await readFile(new URL('example-sink.ts', import.meta.url), 'utf8')
  expect(
    page.includes(`\`\`\`ts\n${code}\`\`\``),
    'copy test/conformance/example-sink.ts into plugins/README.md',
  ).toBe(true)
})
