/** What a loaded configuration is: complete, absolute, frozen, cloneable; and what cannot be read at all. */
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { type LoadOptions, loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { limits } from '../../src/contract/limits.ts'
import { tempDir } from '../support/files.ts'
import { env, loadFixture } from './report.ts'
import { sinks } from './sinks.ts'

const api = 'collections: [{ name: api, upstreams: [{ url: "http://127.0.0.1:3000" }] }]'

async function good(name: string): Promise<Config> {
  const loaded = await loadFixture(fileURLToPath(new URL(`good/${name}.yaml`, import.meta.url)))
  if (!loaded.ok) throw new Error(`${name} has problems`)
  return loaded.config
}

async function loadText(text: string, options: Partial<LoadOptions> = {}): Promise<Config> {
  const loaded = await loadConfig({
    file: 'gateway.yaml',
    text,
    env,
    sinks,
    generation: 1,
    threads: 1,
    ...options,
  })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

async function problemsOf(text: string): Promise<string[]> {
  const loaded = await loadConfig({ file: 'gateway.yaml', text, env, sinks, generation: 1, threads: 1 })
  return loaded.ok ? [] : loaded.problems.map(({ message }) => message)
}

async function readProblem(file: string) {
  const loaded = await loadConfig({ file, env, sinks, generation: 1 })
  return loaded.ok ? [] : loaded.problems
}

function isFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Object.isFrozen(value) && Object.values(value).every(isFrozen)
}

describe('the effective configuration', () => {
  test('has every default', async () => {
    const config = await good('smallest')
    expect(config).toMatchObject({
      environment: 'dev',
      generation: 1,
      listen: { host: '0.0.0.0', port: 8080, threads: 1, limits: { header_bytes: 32_768 } },
      admin: { host: '127.0.0.1', port: 9901, clients: [] },
      capture: { buffer_bytes: 67_108_864, flush_after_ms: 200 },
      mirrors: [],
    })
    expect(config.collections[0]).toMatchObject({ prefix: '/', hosts: [], timeouts: { connect_ms: 2000 } })
  })

  test('is frozen in depth and survives a clone', async () => {
    const config = await good('salt')
    expect(isFrozen(config)).toBe(true)
    expect(structuredClone(config)).toEqual(config)
  })

  test('a mirror has its sink’s keys apart, absolute URLs, legs and format', async () => {
    const { mirrors, connections } = await good('salt')
    expect(mirrors[0]).toMatchObject({
      name: 'salt',
      item_format: 'pair',
      item_bytes_max: 16 * 1024 * 1024,
      options: {
        request_url: 'https://collector.example.com/v1/requests',
        response_url: 'https://collector.example.com/v1/responses?kind=x',
      },
      legs: [
        { name: 'requests', half: 'request', url: 'https://collector.example.com/v1/requests' },
        { name: 'responses', half: 'response' },
      ],
      retry: { attempts: 3, within_ms: 600_000, probe_ms: 5000 },
    })
    expect(mirrors[0]).not.toHaveProperty('request_url')
    expect(connections[0]?.headers).toEqual({ Authorization: `Basic ${env.OPS_TOKEN}`, 'X-Tenant': 'acme' })
  })

  test('hosts, prefixes and upstream URLs are in normal form', async () => {
    const [orders] = (await good('salt')).collections
    expect(orders?.prefix).toBe('/orders')
    expect(orders?.hosts).toEqual(['api.example.com', '*.example.org', '[::1]', '192.0.2.1'])
    expect(orders?.upstreams.map(({ url }) => url)).toEqual(['http://127.0.0.1:3000', 'http://[::1]:3000'])
  })

  test('the first format of a sink is the default, and each form of retry is complete', async () => {
    const { mirrors } = await good('several-mirrors')
    const [list, lines, narrow] = mirrors
    expect(list).toMatchObject({
      item_format: 'exchange',
      retry: { min_wait_ms: 40_000, max_wait_ms: 40_000 },
    })
    expect(lines).toMatchObject({ item_format: 'ndjson', retry: { min_wait_ms: 500, max_wait_ms: 500 } })
    expect(list?.retry).not.toHaveProperty('within_ms')
    expect(narrow?.options).toEqual({ token: env.OPS_TOKEN, shards: 1, level: 'high' })
  })

  test('batch defaults stay within the limits of the sink', async () => {
    const narrow = (await good('several-mirrors')).mirrors[2]
    expect(narrow?.batch).toMatchObject({ max_items: 100, max_bytes: 100_000 })
  })

  test('references stand anywhere in a text, and alone also for numbers', async () => {
    const config = await good('env-everywhere')
    expect(config.environment).toBe('prod')
    expect(config.data_dir).toBe('/var/lib/mirrorgate')
    expect(config.workspace.name).toBe('${env:NOT_A_REFERENCE} costs $5')
    expect(config.listen).toMatchObject({ port: 8081, host: '127.0.0.1', server_header: true })
    expect(config.admin.clients).toEqual([
      { name: 'ops', token: env.OPS_TOKEN, role: 'admin', environment: 'prod' },
      { name: 'digits', token: '1234567890', role: 'viewer', environment: 'test' },
    ])
    expect(config.collections[0]?.upstreams[0]).toMatchObject({ url: 'http://127.0.0.1:3000', weight: 3 })
  })

  test('an empty variable takes the default where there is one', async () => {
    const config = await loadText(`environment: \${env:EMPTY:-test}\n${api}`, { env: { EMPTY: '' } })
    expect(config.environment).toBe('test')
  })

  test('data_dir starts from the folder of the file', async () => {
    const file = fileURLToPath(new URL('good/smallest.yaml', import.meta.url))
    expect((await good('smallest')).data_dir).toBe(join(dirname(file), 'data'))
    expect((await loadText(`data_dir: here\n${api}`, { file: '-' })).data_dir).toBe(
      join(process.cwd(), 'here'),
    )
  })

  test('the hash changes with a value, not with order, comments or the generation', async () => {
    const { hash } = await loadText(`environment: prod\n${api}`)
    expect(hash).toMatch(/^[0-9a-f]{16}$/)
    expect((await loadText(`# moved\n${api}\nenvironment: prod\n`, { generation: 7 })).hash).toBe(hash)
    expect((await loadText(`environment: test\n${api}`)).hash).not.toBe(hash)
  })

  test('data threads are at most what the memory for captures feeds', async () => {
    const text = `capture: { buffer_bytes: 16777216 }\n${api}`
    const options = { file: 'gateway.yaml', text, env, sinks, generation: 1 }
    const few = await loadConfig({ ...options, threads: 3 })
    expect(few).toMatchObject({ ok: true, config: { listen: { threads: 3 } }, warnings: [] })
    const many = await loadConfig({ ...options, threads: 63 })
    expect(many).toMatchObject({ ok: true, config: { listen: { threads: 4 } } })
    expect(many.ok && many.warnings.map(({ path }) => path)).toEqual(['capture.buffer_bytes'])
  })
})

describe('bounds', () => {
  test('at most as many problems as the limit, the last one says how many more', async () => {
    const entries = Array.from({ length: 500 }, () => '  - 1').join('\n')
    const problems = await problemsOf(`collections:\n${entries}\n`)
    expect(problems).toHaveLength(limits.config_problems_max)
    expect(problems.at(-1)).toBe('301 more problems follow from here')
  })

  test('a text above the limit is refused', async () => {
    expect(await problemsOf(`# ${'x'.repeat(limits.config_file_bytes)}\n${api}`)).toEqual([
      `must be at most ${limits.config_file_bytes} bytes`,
    ])
  })

  test.each([
    ['brackets', '['.repeat(100_000)],
    ['braces', '{a: '.repeat(20_000)],
    ['lists', '- '.repeat(20_000)],
  ])('%s nested without end are refused', async (_, nested) => {
    expect((await problemsOf(`${api}\nstreams: ${nested}`)).length).toBeGreaterThan(0)
  })

  test('a map with forty thousand keys is read in time', async () => {
    const keys = Array.from({ length: 40_000 }, (_, at) => `k${at}: 1`).join('\n')
    expect(await problemsOf(`${keys}\n${api}`)).toHaveLength(limits.config_problems_max)
  })
})

describe('files that cannot be read', () => {
  test('a missing file, a folder, a binary file, a file that is too large', async () => {
    const folder = await tempDir()
    const binary = join(folder, 'binary.yaml')
    const large = join(folder, 'large.yaml')
    await writeFile(binary, Buffer.from([0xff, 0xfe, 0x00]))
    await writeFile(large, Buffer.alloc(limits.config_file_bytes + 1, '#'))
    const expected = [
      [join(folder, 'none.yaml'), 'cannot be read: there is no such file'],
      [folder, 'cannot be read: it is a folder'],
      [binary, 'must be UTF-8 text'],
      [large, `must be at most ${limits.config_file_bytes} bytes`],
    ] as const
    for (const [file, message] of expected) {
      expect(await readProblem(file)).toEqual([{ file, line: 1, column: 1, path: '', message }])
    }
  })

  test('a byte order mark and Windows line ends are fine', async () => {
    const file = join(await tempDir(), 'gateway.yaml')
    await writeFile(file, `\ufeffenvironment: prod\r\n${api}\r\n`)
    expect(await readProblem(file)).toEqual([])
  })
})
