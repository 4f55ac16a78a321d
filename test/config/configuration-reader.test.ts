/** The thread that reads configurations: what it answers, and what ends it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { providers, sinks } from '../../plugins/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigurationReader } from '../../src/control/configuration-reader.ts'
import type { ApiResource } from '../../src/contract/resources.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { hostileText } from './hostile-texts.ts'

const worker = new URL('../../src/worker.ts', import.meta.url)
const generous = { ms: 60_000, heapMib: 512 }

function reader(bounds = generous, file = 'gateway.yaml'): ConfigurationReader {
  const made = new ConfigurationReader({ worker, file, plugins: [], bounds })
  onEnd(() => made.close())
  return made
}

const text = `
environment: test
collections:
  - name: orders
    hosts: [orders.example.com]
    upstreams: [{ url: "\${env:NOWHERE:-http://127.0.0.1:1}" }]
    mirrors: [salt]
connections:
  - { name: collector, base_url: "http://127.0.0.1:2", headers: { Authorization: plain } }
mirrors:
  - { name: salt, sink: salt, connection: collector, request_url: /a, response_url: /b }
`
const resources: ApiResource[] = [
  { kind: 'collections', name: 'more', definition: { name: 'more', upstreams: [{ url: 'http://[::1]:1' }] } },
]

test('gives what main itself would have loaded, places and all, and as frozen', async () => {
  const own = await loadConfig({ file: 'gateway.yaml', text, resources, sinks, providers, generation: 7 })
  const read = await reader().load({ text, resources, generation: 7 })
  if (!own.ok || !read.ok) throw new Error('must be valid')
  expect(read.config).toEqual(own.config)
  expect(read.warnings).toEqual(own.warnings)
  expect(read.warnings).toHaveLength(1)
  expect(read.source).toEqual(own.source)
  for (const pointer of ['/mirrors/0/sink', '/collections/0/hosts/0', '/collections/1', '/none'])
    expect([pointer, read.places.value(pointer), read.places.key(pointer)]).toEqual([
      pointer,
      own.places.value(pointer),
      own.places.key(pointer),
    ])
  expect(read.places.elsewhere('/collections/1/name')).toEqual({
    name: 'api:collections/more',
    pointer: '/name',
  })
  expect(Object.isFrozen(read.config.collections[0]?.upstreams)).toBe(true)
})

test('reads the file as it is at the moment, and tells the same problems', async () => {
  const file = join(await tempDir(), 'gateway.yaml')
  const one = reader(generous, file)
  await writeFile(file, text)
  expect(await one.check({ resources: [], generation: 2 })).toMatchObject({ ok: true, generation: 2 })
  await writeFile(file, text.replace('sink: salt', 'sink: pepper'))
  const changed = await one.check({ resources: [], generation: 3 })
  const own = await loadConfig({ file, sinks, providers, generation: 3 })
  expect(changed).toEqual(own)
  expect(changed).toMatchObject({ ok: false, problems: [{ path: 'mirrors[0].sink' }] })
})

test('what came from stdin cannot be read again, but a text in its place can', async () => {
  const one = reader(generous, '-')
  const message = 'came from stdin, which cannot be read again'
  expect(await one.load({ resources: [], generation: 2 })).toMatchObject({ problems: [{ message }] })
  expect(await one.load({ text, resources: [], generation: 2 })).toMatchObject({ ok: true })
})

test.each([
  ['time', { ms: 100, heapMib: 512 }, 'must be read and judged within 100 ms'],
  ['memory', { ms: 60_000, heapMib: 64 }, 'must be read and judged within 64 MiB of memory'],
])('a text that takes too much %s is refused, and the next one is read', async (_what, bounds, message) => {
  const one = reader(bounds)
  const hostile = hostileText('nothing but commas', 300_000)
  const refused = await one.load({ text: hostile, resources: [], generation: 2 })
  expect(refused).toEqual({
    ok: false,
    problems: [{ file: 'gateway.yaml', line: 1, column: 1, path: '', message }],
  })
  // Small bounds may be too small for a thread to start in: what is shown is that there is a new one.
  const next = await one.load({ text: 'nothing', resources: [], generation: 3 })
  expect(next.ok).toBe(false)
})

test('a check never makes a change wait, and too many checks are refused', async () => {
  const one = reader()
  const hostile = hostileText('a huge flow map', 250_000)
  const order: string[] = []
  const checks = Array.from({ length: 16 }, (_, at) =>
    one
      .check({ text: at === 0 ? hostile : text, resources: [], generation: 2 })
      .then(() => order.push('check')),
  )
  await expect(one.check({ text, resources: [], generation: 2 })).rejects.toThrow('try again later')
  await one.load({ text, resources: [], generation: 2 }).then(() => order.push('change'))
  await Promise.all(checks)
  expect(order.indexOf('change')).toBe(0)
  await one.check({ text, resources: [], generation: 2 })
})
