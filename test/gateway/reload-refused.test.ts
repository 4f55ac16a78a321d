/** A reload that cannot be applied changes nothing, and says where and why. */
import { createServer } from 'node:net'
import { readFile, rm } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { Problem } from '../../src/config/problems.ts'
import { Client } from '../support/client.ts'
import { startCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

type Section = Record<string, unknown>

interface Refusal {
  message: string
  problems: Problem[]
  errors: Record<string, string[]>
}

let gateway: TestGateway
let upstream: HttpUpstream
let config: Section
let refused = 0
/** The file as the gateway was started with it. */
let accepted = ''

beforeAll(async () => {
  upstream = await startUpstream()
  const collector = await startCollector()
  config = mirrorConfig({ upstream: upstream.url, collector: collector.url })
  gateway = await startTestGateway({ config })
  accepted = await readFile(gateway.configFile, 'utf8')
})

/** Reloads with this text and expects to be refused. */
async function refuse(yaml: string): Promise<Refusal> {
  await gateway.rewrite({ yaml })
  const { generation, hash, loaded_at } = (await gateway.admin.status()).config
  const answer = await gateway.admin.call('POST', '/api/config/reload')
  expect(answer.status).toBe(400)
  refused += 1
  const refusal = JSON.parse(answer.text) as Refusal

  const status = (await gateway.admin.status()).config
  expect(status).toMatchObject({ generation, hash, loaded_at })
  expect(status.last_rejected?.problems).toEqual(refusal.problems)
  expect((await gateway.admin.metrics()).sum('config_reloads_total', { result: 'rejected' })).toBe(refused)
  const { status: answered } = await new Client(gateway.port).send({ path: '/still' })
  expect(answered).toBe(200)
  return refusal
}

/** 1-based line of the first line that holds this text. */
const lineOf = (yaml: string, text: string) => yaml.split('\n').findIndex((line) => line.includes(text)) + 1

test('every problem of an invalid file is told with its place', async () => {
  const yaml = accepted
    .replace('max_wait_ms: 50', 'max_wait_ms: 5')
    .replace('sink: salt', 'sink: pepper')
    .replace(`url: ${upstream.url}`, 'url: ftp://nowhere')
  const { message, problems, errors } = await refuse(yaml)
  expect(message).toBe(`the configuration has ${problems.length} problems`)
  const places = problems.map(({ path, line }) => [path, line])
  expect(places).toContainEqual(['mirrors[0].sink', lineOf(yaml, 'pepper')])
  expect(places).toContainEqual(['collections[0].upstreams[0].url', lineOf(yaml, 'ftp:')])
  expect(places).toContainEqual(['mirrors[0].batch.max_wait_ms', lineOf(yaml, 'max_wait_ms: 5')])
  expect(errors['mirrors[0].batch.max_wait_ms']).toEqual(['must be at least 10, got 5'])
})

test('broken YAML, and a file that is gone', async () => {
  const broken = await refuse(`${accepted}\nmirrors: [\n`)
  expect(broken.problems.length).toBeGreaterThan(0)
  await rm(gateway.configFile)
  const answer = await gateway.admin.call('POST', '/api/config/reload')
  refused += 1
  expect(answer.status).toBe(400)
  expect((JSON.parse(answer.text) as Refusal).problems).toMatchObject([
    { line: 1, column: 1, path: '', message: 'cannot be read: there is no such file' },
  ])
})

describe('what belongs to the process', () => {
  const cases: [path: string, change: (yaml: string) => string, line: string][] = [
    ['listen.host', (yaml) => yaml.replace('  host: 127.0.0.1', '  host: 127.0.0.2'), 'host: 127.0.0.2'],
    ['listen.port', (yaml) => yaml.replace('  port: 0', '  port: 4711'), 'port: 4711'],
    ['listen.threads', (yaml) => yaml.replace('  threads: 1', '  threads: 2'), 'threads: 2'],
    [
      'listen.reuse_port',
      (yaml) => yaml.replace('  threads: 1', '  threads: 1\n  reuse_port: true'),
      'reuse_port',
    ],
    ['data_dir', (yaml) => yaml.replace('data_dir: ./data', 'data_dir: ./elsewhere'), 'data_dir'],
    ['admin.port', (yaml) => yaml.replace('admin:\n  port: 0', 'admin:\n  port: 4712'), 'port: 4712'],
    ['admin.host', (yaml) => yaml.replace('admin:\n', 'admin:\n  host: 127.0.0.3\n'), 'host: 127.0.0.3'],
    [
      'capture.buffer_bytes',
      (yaml) => yaml.replace('capture:\n', 'capture:\n  buffer_bytes: 33554432\n'),
      'buffer_bytes',
    ],
  ]
  test.each(cases)('%s cannot change, and its line is named', async (path, change, line) => {
    const yaml = change(accepted)
    expect(yaml).not.toBe(accepted)
    const { problems } = await refuse(yaml)
    const message = expect.stringMatching(/^must stay .+ in a reload.+restart the gateway to change it/)
    const place = { file: gateway.configFile, path, line: lineOf(yaml, line) }
    expect(problems).toMatchObject([{ ...place, message }])
    expect(problems[0]?.column).toBe(yaml.split('\n')[place.line - 1]!.indexOf(': ') + 3)
  })

  test('a key that is left out stands for its default: its section is named', async () => {
    const { problems } = await refuse(accepted.replace('  port: 0\n', ''))
    expect(problems).toMatchObject([{ path: 'listen.port', line: lineOf(accepted, 'listen:') }])
  })
})

test('an accepted file ends the rejection, and is told to be the same', async () => {
  await gateway.rewrite({ config })
  const { hash } = (await gateway.admin.status()).config
  const answer = await gateway.admin.json<{ hash: string }>('POST', '/api/config/reload')
  expect(answer.hash).toBe(hash)
  expect((await gateway.admin.status()).config.last_rejected).toBeNull()
  const metrics = await gateway.admin.metrics()
  expect(metrics.sum('config_reloads_total', { result: 'applied' })).toBe(1)
  expect(metrics.sum('config_reloads_total', { result: 'rejected' })).toBe(refused)
})

test('a check answers like a reload and applies nothing', async () => {
  const { generation } = (await gateway.admin.status()).config
  const wrong = await gateway.admin.call('POST', '/api/config/check', {
    yaml: stringify({ collections: [] }),
  })
  expect(wrong.status).toBe(400)
  expect((JSON.parse(wrong.text) as Refusal).problems).toMatchObject([{ path: 'collections', line: 1 }])
  const right = await gateway.admin.call('POST', '/api/config/check', { yaml: accepted })
  expect(right.status).toBe(200)
  expect((await gateway.admin.status()).config).toMatchObject({ generation, last_rejected: null })
})

test('a port that others use in the new file is no reason to bind it', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port } = taken.address() as { port: number }
  const { problems } = await refuse(accepted.replace('  port: 0', `  port: ${port}`))
  taken.close()
  expect(problems.map(({ path }) => path)).toEqual(['listen.port'])
})

test('more names than a process can count for are refused, and change nothing', async () => {
  const base = { ...config, listen: undefined, admin: undefined }
  const named = (prefix: string) => {
    const mirrors = Array.from({ length: 127 }, (_, at) => ({ name: `${prefix}-${at}`, sink: 'blackhole' }))
    const [collection] = config['collections'] as Section[]
    return { config: { ...base, mirrors, collections: [{ ...collection, mirrors: [] }] } }
  }
  const many = await startTestGateway(named('first'))
  await many.rewrite(named('second'))
  expect((await many.admin.call('POST', '/api/config/reload')).status).toBe(200)
  // Two are left; what is gone does not give its own back.
  const statuses: number[] = []
  for (const name of ['a', 'b', 'c']) {
    statuses.push((await many.admin.call('POST', '/api/mirrors', { name, sink: 'blackhole' })).status)
    await many.admin.call('DELETE', `/api/mirrors/${name}`)
  }
  expect(statuses).toEqual([201, 201, 409])
  await many.rewrite(named('third'))
  const answer = await many.admin.call('POST', '/api/config/reload')
  expect(answer.status).toBe(400)
  const message = 'too many different mirrors since the start: restart the gateway'
  expect((JSON.parse(answer.text) as Refusal).problems).toMatchObject([{ message }])
  const { generation } = (await many.admin.status()).config
  process.kill(many.pid, 'SIGHUP')
  const rejected = async () =>
    (await many.admin.metrics()).sum('config_reloads_total', { result: 'rejected' })
  await until(async () => (await rejected()) === 2, { what: 'the signal was obeyed' })
  expect((await many.admin.status()).config.generation).toBe(generation)
})
