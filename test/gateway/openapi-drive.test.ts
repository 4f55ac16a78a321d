/** Every operation of the document is driven from the document itself, against a real gateway. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type Role, roles } from '../../src/contract/roles.ts'
import { queryOf, smallestCall, withQuery, withSession } from '../support/calls.ts'
import { type Call, Documented, type Got } from '../support/documented.ts'
import { Answers, operationsOf, type Placed, responseTo, roleOf } from '../support/openapi.ts'
import { smallest, type Variant, variants } from '../support/schema-values.ts'

/** Operations that are not driven, each with its reason. */
const exceptions: Readonly<Record<string, string>> = {
  'POST /api/events': 'needs a stream for each type: test/streams/posted-events.test.ts',
}

/** Values that a schema allows by themselves, and a rule refuses: where, and with what sentence. */
const refusals: readonly (readonly [where: RegExp, sentence: RegExp])[] = [
  [/capture\.body_bytes = its maximum/, /for an exchange to fit into half of a thread's share/],
  [/retry\.(attempts|within_ms|probe_ms) = /, /attempts of timeout_ms|must be at most within_ms/],
  [/timeout_ms = its maximum/, /must let 4 attempts of timeout_ms 3600000 fit into/],
  [/spool\.max_bytes = its minimum/, /must be at least \d+ for \d legs? of batch.max_bytes/],
  [/spool\.retention_ms = its minimum/, /must be above batch.max_wait_ms/],
  [/\.start = a text/, /must be now, beginning or a time/],
  [/\.message = a text/, /must be valid JSON/],
  [/streams.*body\.(from|to) = /, /must be a date in ISO 8601/],
  // Paths below a base URL are their defaults.
  [/(mirrors|streams).*body\(\d+\)/, /there is no connection with a base_url/],
  // Options of a sink that make sense together only, and bounds of its service.
  [/(mirrors|streams).*body\(\d+\)/, /must (stand|be set) (together|beside|with)|signs in by its own/],
  [/(mirrors|streams).*batch\.\w+ = its maximum/, /the limit of sink/],
  [/(mirrors|streams).*body\(\d+\)\.key = /, /files would overwrite each other/],
  [/preview, body\.(stream|message) = /, /no stream has this name|must be valid JSON/],
  [/tls\.(ca|cert|key)_file = a text/, /must be a file that can be read/],
  [/replay-job/, /the webhook is not enabled|a replay job is currently running/],
  [/audit-log-webhook, body\./, /cannot be blank/],
  [/workspace\.environment = /, /workspace.environment must be dev, the one of this client/],
]

let world: Documented
let answers: Answers
let operations: readonly Placed[]
beforeAll(async () => {
  world = await Documented.start()
  answers = new Answers(world.api)
  operations = operationsOf(world.api).filter(({ id }) => exceptions[id] === undefined)
})

/** Why an answer is not what the document says; null when it is. */
function problemOf({ operation }: Placed, { status, type, text }: Got): string | null {
  const documented = responseTo(operation, status)
  if (documented === undefined) return 'the document does not know this status'
  const content = documented.content ?? {}
  if (Object.keys(content).length === 0) return text === '' ? null : 'must have no body'
  const schema = content[type]?.schema
  if (schema === undefined) return `content type must be one of ${Object.keys(content)}, got ${type}`
  return answers.problem(schema, /[/+]json$/.test(type) ? JSON.parse(text) : text)
}

/** What went wrong with an answer, for people; null when it is as documented and a success. */
function complaint(placed: Placed, what: string, got: Got): string | null {
  const shown = `${placed.id}, ${what}: ${got.status} ${got.text.slice(0, 300)}`
  const problem = problemOf(placed, got)
  if (problem !== null) return `${shown}: ${problem}`
  if (got.status < 300) return null
  const place = `${placed.id}, ${what}`
  const isRefusal = refusals.some(([where, sentence]) => where.test(place) && sentence.test(got.text))
  return isRefusal ? null : shown
}

describe('the document', () => {
  test('is OpenAPI 3.1, and holds together', () => {
    const { openapi, info, paths } = world.api
    expect(openapi).toMatch(/^3\.1\.\d+$/)
    expect(info).toMatchObject({ title: expect.any(String), version: expect.any(String) })
    expect(Object.keys(paths).filter((path) => !path.startsWith('/'))).toEqual([])
    expect(references(world.api).filter((reference) => target(reference) === undefined)).toEqual([])
    expect(answers.invalidSchemas(world.api)).toEqual([])
  })

  test('names each operation, who may, what it takes and every answer', () => {
    const wrong = operationsOf(world.api).flatMap(defectsOf)
    expect(wrong).toEqual([])
    const ids = operationsOf(world.api).flatMap(({ operation }) => operation.operationId ?? [])
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('has the operations that are spoken of here', () => {
    const ids = operationsOf(world.api).map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining([...Object.keys(exceptions), ...withSession]))
  })
})

function references(value: unknown): string[] {
  return [...JSON.stringify(value).matchAll(/"\$ref":"([^"]*)"/g)].map(([, reference = '']) => reference)
}

/** What a reference leads to (RFC 6901). */
function target(reference: string): unknown {
  const [start, ...keys] = reference.split('/')
  if (start !== '#') return undefined
  return keys.reduce<unknown>(
    (at, key) => (at as Record<string, unknown> | undefined)?.[key.replaceAll('~1', '/')],
    world.api,
  )
}

function defectsOf({ id, method, path, operation }: Placed): string[] {
  const { summary, tags, security, parameters = [], requestBody, responses } = operation
  const inPath = parameters.filter((one) => one.in === 'path')
  const templates = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
  const places = parameters.map((one) => `${one.in} ${one.name}`)
  const schemes = (security ?? []).flatMap((one) => Object.keys(one))
  const statuses = Object.keys(responses)
  const rules: Readonly<Record<string, boolean>> = {
    'has a summary': (summary ?? '') !== '',
    'has a tag': (tags ?? []).length > 0,
    'says who may': roleOf(operation) !== undefined,
    'names known security schemes': schemes.every((name) => name in world.api.components.securitySchemes),
    'has the parameters of its path': templates.join() === inPath.map(({ name }) => name).join(),
    'needs the parameters of its path': inPath.every(({ required }) => required === true),
    'has each parameter once': new Set(places).size === places.length,
    'has a schema for each parameter': parameters.every(({ schema }) => typeof schema === 'object'),
    'takes a body only where one means something': requestBody === undefined || /^P/.test(method),
    'says of a body whether it is needed': requestBody === undefined || requestBody.required !== undefined,
    'has answers with statuses': statuses.every((status) => /^[1-5](\d\d|XX)$/.test(status)),
    'has an answer of success': statuses.some((status) => status.startsWith('2')),
    'has answers for errors': ['4XX', '5XX'].every((status) => statuses.includes(status)),
    'describes each answer': Object.values(responses).every(({ description = '' }) => description !== ''),
  }
  return Object.entries(rules).flatMap(([rule, holds]) => (holds ? [] : [`${id}: ${rule}`]))
}

describe('each operation', () => {
  // First: each request is judged with all the things that the others have made.
  test('takes every parameter and every field, at each bound and with each choice', {
    timeout: 120_000,
  }, async () => {
    const wrong: (string | null)[] = []
    const seen = new Set<string>()
    for (const placed of operations) {
      const kind = placed.path.split('/')[2]?.replace(/^(mirrors|streams)$/, 'deliveries')
      // A field that several requests share (mirrors and streams, POST and PUT) is varied in the first one.
      const isNew = ({ what, schema }: Variant): boolean => {
        if (/^body(\(\d+\))* = the smallest$/.test(what)) return true
        const place = `${kind} ${what.replaceAll(/\(\d+\)/g, '')} ${JSON.stringify(schema)}`
        return seen.size < seen.add(place).size
      }
      for await (const { what, call } of otherCalls(placed, isNew)) {
        wrong.push(complaint(placed, what, await world.send(call)))
      }
    }
    expect(wrong.length).toBeGreaterThan(200)
    expect(wrong.filter(Boolean)).toEqual([])
  })

  test('does its smallest request for the least role, and answers as documented', {
    timeout: 120_000,
  }, async () => {
    const wrong: (string | null)[] = []
    for (const placed of operations) {
      const got = await world.send(await smallestCall(world, placed))
      wrong.push(complaint(placed, 'the smallest request', got))
    }
    expect(wrong.length).toBe(operations.length)
    expect(wrong.filter(Boolean)).toEqual([])
  })

  test('answers 403 to the role below, and 401 without a token, as documented', async () => {
    const wrong: string[] = []
    const expectStatus = async (placed: Placed, call: Call, as: Role | null, status: number) => {
      const got = await world.send({ ...call, as })
      const problem = got.status === status ? problemOf(placed, got) : `must be ${status}`
      if (problem !== null) wrong.push(`${placed.id} as ${as}: ${got.status} ${got.text}: ${problem}`)
    }
    for (const placed of operations) {
      const role = roleOf(placed.operation) ?? null
      if (role === null) continue
      const call = await smallestCall(world, placed, { refused: true })
      await expectStatus(placed, call, null, 401)
      const below = roles[roles.indexOf(role) - 1]
      if (below !== undefined) await expectStatus(placed, call, below, 403)
    }
    expect(wrong).toEqual([])
  })
})

interface OtherCall {
  readonly what: string
  readonly call: Call
}

/** Requests that differ from the smallest one in one parameter, or in one place of the body. */
async function* otherCalls(placed: Placed, isNew: (variant: Variant) => boolean): AsyncGenerator<OtherCall> {
  const { operation, method } = placed
  const parameters = operation.parameters ?? []
  const first = await smallestCall(world, placed)
  // What a request takes away is not there for the next one.
  const base = async () => (method === 'DELETE' ? await smallestCall(world, placed) : first)
  for (const { name, schema, in: place } of parameters) {
    if (place === 'path') continue
    for (const { what, value } of variants(schema, name, world.seed)) {
      const call = await base()
      const headers = place === 'header' ? { ...call.headers, [name]: String(value) } : (call.headers ?? {})
      const path = place === 'query' ? withQuery(call.path, queryOf(name, value)) : call.path
      // What was created before has its name.
      const body = call.body === undefined ? {} : { body: freshBody(placed) }
      yield { what, call: { ...call, path, headers, ...body } }
    }
  }
  const isTrial = parameters.some(({ name }) => name === 'dry_run')
  for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
    const name = type.endsWith('yaml') ? 'yaml' : 'body'
    for (const variant of variants(world.bodyOf(placed, schema), name, world.seed)) {
      if (!isNew(variant)) continue
      const call = await base()
      const path = isTrial ? withQuery(call.path, 'dry_run=true') : call.path
      const sent = { ...call, path, headers: { 'content-type': type }, body: variant.value }
      yield { what: variant.what, call: sent }
    }
  }
}

function freshBody(placed: Placed): unknown {
  const [content] = Object.values(placed.operation.requestBody?.content ?? {})
  return content && smallest(world.bodyOf(placed, content.schema), 'body', world.seed)
}
