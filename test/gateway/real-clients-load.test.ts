/** Load generators that people use, one request or several at a time on a connection: every count agrees. */
import { execFile, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { tempDir } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const run = promisify(execFile)

const CONNECTIONS = 4
const PER_CONNECTION = 120
const REQUESTS = CONNECTIONS * PER_CONNECTION

const depths = [1, 8]
const names = ['autocannon', 'wrk'].flatMap((tool) => depths.map((depth) => `${tool}-${depth}`))

let upstream: HttpUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    request.resume()
    // Of many lengths, so that answers of others would be noticed by whoever counts bytes.
    request.on('end', () => response.end('x'.repeat(upstream.received.length % 300)))
  })
  gateway = await startTestGateway({
    config: {
      collections: names.map((name) => ({
        ...{ name, prefix: `/${name}`, upstreams: [{ url: upstream.url }] },
      })),
    },
  })
})

/** What upstream and gateway counted, when all of the tool's connections are gone. */
async function counted(name: string) {
  const metrics = async () => (await gateway.admin.call('GET', '/metrics')).text
  await until(async () => /^mirrorgate_connections_open 0$/m.test(await metrics()), {
    what: 'no connection of the tool is left',
  })
  const classes = new RegExp(
    `^mirrorgate_http_requests_total\\{collection="${name}",status_class="(\\w+)"\\} (\\d+)$`,
    'gm',
  )
  const found = [...(await metrics()).matchAll(classes)].map(([, status, count]) => [status, Number(count)])
  const arrived = upstream.received.filter(({ url }) => url.startsWith(`/${name}/`))
  return { arrived, answered: Object.fromEntries(found.filter(([, count]) => count !== 0)) }
}

const autocannon = createRequire(import.meta.url).resolve('autocannon')

test.each(depths)('autocannon, %i requests at a time on a connection', async (depth) => {
  const name = `autocannon-${depth}`
  const body = 'y'.repeat(1000)
  const bounds = ['-a', String(REQUESTS), '-c', String(CONNECTIONS), '-p', String(depth)]
  const args = [...bounds, '-m', 'POST', '-b', body, '--json', `${gateway.url}/${name}/a`]
  const { stdout } = await run(process.execPath, [autocannon, ...args], { timeout: 20_000 })
  const result = JSON.parse(stdout) as Record<string, unknown>
  // It ends a connection with its last request, whatever it still waits for.
  const left = CONNECTIONS * (depth - 1)
  const total = REQUESTS - left
  expect(result).toMatchObject({ '2xx': total, non2xx: 0, errors: 0, timeouts: 0, mismatches: 0 })
  expect(result.requests).toMatchObject({ total, sent: REQUESTS })
  const { arrived, answered } = await counted(name)
  expect(arrived.filter((received) => received.body?.toString() === body).length).toBeGreaterThanOrEqual(
    total,
  )
  expect(arrived.length).toBeLessThanOrEqual(REQUESTS)
  expect(answered['2xx']).toBeGreaterThanOrEqual(total)
  expect(answered['2xx']).toBeLessThanOrEqual(arrived.length)
  if (left === 0) expect(answered).toEqual({ '2xx': REQUESTS })
})

/** Each thread has one connection, and ends by itself: time alone would leave requests on their way. */
const script = `
local count, ends, depth = 0, ${PER_CONNECTION}, tonumber(os.getenv('DEPTH'))
init = function() batch = string.rep(wrk.format('GET', wrk.path), depth) end
request = function() return batch end
response = function()
  count = count + 1
  if count == ends then wrk.thread:stop() end
end
`

const hasWrk = spawnSync('wrk', ['-v']).error === undefined

test.skipIf(!hasWrk).each(depths)('wrk, %i requests at a time on a connection (needs wrk)', async (depth) => {
  const name = `wrk-${depth}`
  const file = join(await tempDir(), 'bounded.lua')
  await writeFile(file, script)
  const count = String(CONNECTIONS)
  const args = ['-t', count, '-c', count, '-d', '1s', '-s', file, `${gateway.url}/${name}/a`]
  const env = { ...process.env, DEPTH: String(depth) }
  const { stdout } = await run('wrk', args, { env, timeout: 20_000 })
  expect(stdout).toMatch(new RegExp(`^ +${REQUESTS} requests in `, 'm'))
  expect(stdout).not.toMatch(/Non-2xx|Socket errors/)
  const { arrived, answered } = await counted(name)
  expect(arrived).toHaveLength(REQUESTS)
  expect(answered).toEqual({ '2xx': REQUESTS })
})
