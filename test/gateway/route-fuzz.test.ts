/** No request, whatever stands in it, breaks a route; MIRRORGATE_FUZZ_SEED replays. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { RawClient, type RawResponse } from '../support/client.ts'
import { Documented } from '../support/documented.ts'
import { hostileRequest, type HostileRequest } from '../support/hostile.ts'
import { operationsOf, type Placed } from '../support/openapi.ts'
import { randomOf } from '../support/random.ts'
import { SOAK_MS, soak } from '../support/soak.ts'

const given = process.env['MIRRORGATE_FUZZ_SEED']
const seed = given === undefined ? Date.now() % 1_000_000_000 : Number(given)
/** Requests, each with a seed of its own, and the time that they may take together. */
const REQUESTS = soak ? 100_000 : 800
const BOX_MS = soak ? SOAK_MS / 2 : 8000

/** One connection after the other; a request that ends one is followed by the next. */
class Wire {
  readonly #port: number
  #client: RawClient | null = null

  constructor(port: number) {
    this.#port = port
  }

  async send({ method, bytes }: HostileRequest): Promise<RawResponse> {
    if (this.#client === null || this.#client.ended) this.#client = await RawClient.connect(this.#port)
    const client = this.#client
    client.send(bytes)
    const response = await client.response(method)
    // What is left of a request that was refused early would be taken for the next one.
    if (response.status >= 400 || response.header('connection') === 'close') {
      client.destroy()
      this.#client = null
    }
    return response
  }
}

const stackLine = /\\n\s+at |node_modules|node:internal|\.ts:\d+|\.js:\d+/

/** Why an answer must not be; null when it may. */
function defectOf(
  { method }: HostileRequest,
  response: RawResponse,
  secretPaths: readonly string[],
): string | null {
  const { status, body, complete } = response
  const text = body.toString('utf8')
  if (status >= 500) return `must be below 500, got ${status}`
  if (!complete) return 'must be whole'
  if (stackLine.test(text)) return 'must show no stack'
  const path = secretPaths.find((one) => text.includes(one))
  if (path !== undefined) return `must not tell of ${path}`
  if (status < 400 || method === 'HEAD') return null
  const type = response.header('content-type')
  if (type === 'application/problem+json; charset=utf-8') {
    const problem = JSON.parse(text) as { status?: unknown; title?: unknown; detail?: unknown }
    return problem.status === status && problem.title !== undefined && problem.detail !== undefined
      ? null
      : 'a problem must have its status, a title and a detail'
  }
  if (type !== 'application/json; charset=utf-8') return `an error must be JSON, got ${type}`
  const { message, errors } = JSON.parse(text) as { message?: unknown; errors?: unknown }
  const isShape = typeof message === 'string' && typeof errors === 'object' && errors !== null
  return isShape ? null : 'an error must have a message and errors'
}

async function thingsOf(operations: readonly Placed[]): Promise<Map<string, string>> {
  const kinds = new Set(operations.filter(({ path }) => path.includes('{')).map(({ path }) => kindOf(path)))
  const names = new Map<string, string>()
  for (const kind of kinds) names.set(kind, await world.thing(kind))
  return names
}

const kindOf = (path: string): string => path.split('/')[2] ?? ''

let world: Documented
beforeAll(async () => {
  world = await Documented.start()
})

test(`no request breaks it (seed ${seed})`, { timeout: soak ? SOAK_MS : 60_000 }, async () => {
  const token = (await readFile(join(world.gateway.dataDir, 'admin-token'), 'utf8')).trim()
  const operations = operationsOf(world.api)
  const names = await thingsOf(operations)
  const secretPaths = [process.cwd(), world.gateway.dataDir, process.env['HOME'] ?? process.cwd()]
  const wire = new Wire(world.gateway.adminPort)
  const statuses = new Map<number, number>()
  const end = performance.now() + BOX_MS
  let sent = 0
  for (; sent < REQUESTS && performance.now() < end; sent += 1) {
    const placed = operations[sent % operations.length] as Placed
    const kind = kindOf(placed.path)
    if (placed.method === 'DELETE' && names.has(kind)) names.set(kind, await world.thing(kind))
    const random = randomOf(seed + sent)
    const request = hostileRequest({ world, placed, token, random, name: names.get(kind) ?? '' })
    const start = JSON.stringify(request.bytes.toString('latin1', 0, 2000))
    const shown = `MIRRORGATE_FUZZ_SEED=${seed}, request ${sent}: ${start}`
    const response = await wire.send(request).catch((error: unknown) => {
      throw new Error(`${shown}: ${String(error)}`)
    })
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
    const defect = defectOf(request, response, secretPaths)
    expect(
      defect,
      `${shown} → ${response.status} ${response.body.toString('utf8').slice(0, 1000)}`,
    ).toBeNull()
  }
  expect(sent).toBeGreaterThan(operations.length)
  // It reached the routes, and nobody was locked out on the way.
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([200, 400]))
  expect([...statuses.keys()]).not.toEqual(expect.arrayContaining([401]))
  expect([...statuses.keys()]).not.toEqual(expect.arrayContaining([429]))
  await expectHealthy()
})

/** As on the first day: ready, and no name of a prototype means anything. */
async function expectHealthy(): Promise<void> {
  const ask = (method: string, path: string, body?: object) => world.gateway.admin.call(method, path, body)
  expect((await ask('GET', '/readyz')).status).toBe(200)
  expect((await ask('GET', '/api/status?polluted=1')).status).toBe(400)
  expect((await ask('POST', '/api/tags', { title: 'after the storm' })).status).toBe(200)
  const unknown = await ask('POST', '/api/tags', { title: 'and another', polluted: 1 })
  expect([unknown.status, JSON.parse(unknown.text)]).toEqual([
    400,
    { message: 'the request is not valid', errors: { polluted: ['is not known here'] } },
  ])
  expect((await ask('GET', '/api/status')).text).not.toContain('polluted')
  expect((await fetch(`${world.gateway.url}/after`)).status).toBe(200)
}

test('a definition of more values than any needs is refused before it is judged', async () => {
  const hosts = Array.from({ length: limits.api_definition_values_max }, () => 'a.example.com')
  const path = `/api/collections/${await world.thing('collections')}`
  for (const method of ['PUT', 'PATCH']) {
    const { status, text } = await world.gateway.admin.call(method, path, { hosts })
    expect([status, JSON.parse(text).message]).toEqual([
      400,
      'the body must hold at most 10000 values, at most 64 levels deep',
    ])
  }
})
