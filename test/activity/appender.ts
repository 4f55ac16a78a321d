/** A process that appends without end and writes the ids that were acknowledged, one per line. */
import { writeSync } from 'node:fs'
import type { NewActivity } from '../../src/contract/activity.ts'
import { Store } from '../../src/store/store.ts'

const [, , folder = ''] = process.argv
const store = new Store(folder)
const entry = (environment: 'dev' | 'prod'): NewActivity => ({
  event_type: 'recipe_updated',
  workspace: { id: 1, name: 'Alex', email: 'alex@example.com', environment },
  user: { id: 1, name: 'Alex', email: 'alex@example.com' },
  details: { request: { ip_address: '192.0.2.1', user_agent: 'x'.repeat(100) } },
  resource: { id: 1, name: 'My recipe', type: 'Flow' },
})

async function lane(environment: 'dev' | 'prod', size: number): Promise<void> {
  for (;;) {
    const ids = await store.activity.append(Array.from({ length: size }, () => entry(environment)))
    // Straight to the pipe: what was written there outlives this process.
    writeSync(1, `${ids.join('\n')}\n`)
  }
}

await Promise.all([lane('dev', 1), lane('prod', 7), lane('dev', 300), lane('prod', 300)])
