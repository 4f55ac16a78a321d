/** While a configuration that was made to cost time is being judged, the gateway goes on as if it was not. */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'
import { hostileText, hostileTexts } from '../config/hostile-texts.ts'

/** Characters that take a core a few hundred milliseconds. */
const CHARS = 100_000
/** Asking without a pause would take the core from what is judged. */
const PAUSE_MS = 5
/** A main thread that is busy answers one or two while it is. */
const ANSWERS_MIN = 10

let gateway: TestGateway
let accepted = ''

beforeAll(async () => {
  const upstream = await startUpstream()
  const config = { collections: [{ name: 'orders', upstreams: [{ url: upstream.url }] }] }
  gateway = await startTestGateway({ config })
  accepted = await readFile(gateway.configFile, 'utf8')
  // The threads are there from here on: what is counted is the judging.
  await gateway.admin.json('POST', '/api/config/check')
  await gateway.admin.json('POST', '/api/config/reload')
})

/** Answers of the admin port while something is under way. */
async function answersDuring(work: Promise<unknown>): Promise<number> {
  let under = true
  let answers = 0
  const done = work.finally(() => {
    under = false
  })
  while (under) {
    const { status } = await gateway.admin.call('GET', '/healthz')
    expect(status).toBe(200)
    if (under) answers += 1
    await delay(PAUSE_MS)
  }
  await done
  return answers
}

test.each(hostileTexts)('a check of %s', async (kind) => {
  const check = gateway.admin.call('POST', '/api/config/check', { yaml: hostileText(kind, CHARS) })
  expect(await answersDuring(check)).toBeGreaterThan(ANSWERS_MIN)
  const { status, text } = await check
  expect(status).toBe(400)
  expect((JSON.parse(text) as { problems: unknown[] }).problems.length).toBeGreaterThan(0)
})

test('a reload, by API and by signal, of a file with unknown keys', async () => {
  const before = (await gateway.admin.status()).config
  await gateway.rewrite({
    yaml: accepted + hostileText('unknown keys', CHARS).replace(/^collections.*\n/, ''),
  })
  const reload = gateway.admin.call('POST', '/api/config/reload')
  expect(await answersDuring(reload)).toBeGreaterThan(ANSWERS_MIN)
  expect((await reload).status).toBe(400)

  const rejected = async () =>
    (await gateway.admin.metrics()).sum('config_reloads_total', { result: 'rejected' })
  expect(await rejected()).toBe(1)
  process.kill(gateway.pid, 'SIGHUP')
  const obeyed = until(async () => (await rejected()) === 2, { what: 'the signal was obeyed' })
  expect(await answersDuring(obeyed)).toBeGreaterThan(ANSWERS_MIN)
  const { generation, hash } = (await gateway.admin.status()).config
  expect({ generation, hash }).toEqual({ generation: before.generation, hash: before.hash })
})
