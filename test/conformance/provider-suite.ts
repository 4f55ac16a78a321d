/**
 * The rules that every provider of secrets obeys. Each plugin's test calls it; what cannot apply is opted out
 * with a reason.
 */
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { Ajv } from 'ajv'
import type { Static, TObject } from 'typebox'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import {
  type ProviderDefinition,
  SecretError,
  type SecretFailure,
  type SecretName,
  type SecretProvider,
} from '../../src/contract/secrets.ts'
import {
  answer,
  answerByteByByte,
  answerWithoutEnd,
  type Behaviour,
  hang,
  hangAfterHead,
} from './collector.ts'

/** A rule that does not apply, and why. */
interface OptOut {
  readonly because: string
}

/** The place that a provider reads from, as a test arranges it. */
export interface SecretsPlace<Options> {
  /** The provider's own keys, to reach this place; defaults are filled in. */
  readonly options: Options
  /** Stores a secret: the JSON object of these fields. */
  put(path: string, fields: Readonly<Record<string, unknown>>): void
  /** Refuses to show one. */
  readonly deny: ((path: string) => void) | OptOut
  /** What every request gets instead of its answer; null = the place behaves again. */
  readonly behave: ((behaviour: Behaviour | null) => void) | OptOut
  close(): Promise<void> | void
}

export interface ProviderConformance<Options extends TObject> {
  readonly definition: ProviderDefinition<Options>
  start(): Promise<SecretsPlace<Static<Options>>> | SecretsPlace<Static<Options>>
  /** A path that the place can hold, different for each name (letters and digits). */
  path(name: string): string
  /** What stands behind `{{workato:sm:`, and the name that it means; and texts that mean none. */
  readonly workato: {
    readonly good: readonly (readonly [string, SecretName])[]
    readonly bad: readonly string[]
  }
}

const canary = 'canary-5f1d-never-shown'
const never = new AbortController().signal

export function providerConformance<Options extends TObject>(about: ProviderConformance<Options>): void {
  describe(`provider ${about.definition.name}`, { timeout: 10_000 }, () => {
    describeDefinition(about)
    describeReads(about)
    describe('a place that misbehaves', () => describeHostile(about))
  })
}

function describeDefinition<Options extends TObject>({
  definition,
  workato,
}: ProviderConformance<Options>): void {
  test('its name, summary and options fit together', () => {
    expect(definition.name).toMatch(/^[a-z][a-z0-9_-]*$/)
    expect(definition.summary).toMatch(/^[A-Z].*\.$/)
    const { properties } = definition.options
    expect(definition.options).toHaveProperty('additionalProperties', false)
    for (const [key, schema] of Object.entries(properties)) {
      expect(key).toMatch(/^[a-z][a-z0-9_]*$/)
      expect((schema as { description?: string }).description, key).toMatch(/^[A-Z].*\.$/)
    }
    for (const key of definition.secretOptions) expect(Object.keys(properties)).toContain(key)
    expect(() => new Ajv({ strict: false }).compile(definition.options)).not.toThrow()
  })

  test.each(workato.good.map(([text, name]) => ({ text, name })))('workato:sm:$text', ({ text, name }) => {
    expect(definition.workato(text)).toEqual(name)
  })

  test.each([...workato.bad, ''])('workato:sm:%s is refused with a rule', (text) => {
    expect(definition.workato(text)).toEqual({ rule: expect.stringMatching(/^[a-z].*[^.]$/) })
  })
}

interface Open<Options> {
  readonly place: SecretsPlace<Options>
  readonly provider: SecretProvider
  /** Texts that no error may hold. */
  readonly secrets: readonly string[]
}

/** A place and a provider for each test, closed after it. */
function opened<Options extends TObject>(about: ProviderConformance<Options>): () => Open<Static<Options>> {
  let open: Open<Static<Options>>
  beforeEach(async () => {
    const place = await about.start()
    const options = structuredClone(place.options) as Record<string, unknown>
    new Ajv({ strict: false, useDefaults: true }).compile(about.definition.options)(options)
    const own = about.definition.secretOptions.flatMap((key) => (options[key] ? [String(options[key])] : []))
    const provider = about.definition.create(options as Static<Options>)
    open = { place, provider, secrets: [canary, ...own] }
  })
  afterEach(async () => {
    await open.provider.close()
    await open.place.close()
  })
  return () => open
}

/** A read that must fail on purpose, and without showing anything. */
async function failureOf({ secrets }: Pick<Open<unknown>, 'secrets'>, reading: Promise<string>) {
  const thrown = await reading.then(
    () => null,
    (error: unknown) => error,
  )
  expect(thrown, 'the read must fail with a SecretError').toBeInstanceOf(SecretError)
  const error = thrown as SecretError
  const shown = inspect(error, { depth: 12, showHidden: true })
  for (const secret of secrets) expect(shown).not.toContain(secret)
  expect(error.message).toMatch(/\w/)
  expect(error.message).not.toMatch(/\.$|\n/)
  return error
}

function describeReads<Options extends TObject>(about: ProviderConformance<Options>): void {
  const now = opened(about)
  const name = (of: string, key: string | null): SecretName => ({ path: about.path(of), key })
  const fields = {
    password: canary,
    user: 'Zoë "quoted"\n',
    port: 5432,
    on: true,
    inner: { a: [1, 2] },
    empty: '',
    nothing: null,
  }

  test('reads a whole secret, and any key of it as text', async () => {
    const { place, provider } = now()
    place.put(about.path('one'), fields)
    expect(JSON.parse(await provider.read(name('one', null), never))).toEqual(fields)
    const texts = await Promise.all(
      ['password', 'user', 'port', 'on', 'inner', 'empty'].map((key) =>
        provider.read(name('one', key), never),
      ),
    )
    expect(texts).toEqual([canary, 'Zoë "quoted"\n', '5432', 'true', '{"a":[1,2]}', ''])
  })

  test('reads what is there now, not what was', async () => {
    const { place, provider } = now()
    place.put(about.path('one'), { password: 'old' })
    expect(await provider.read(name('one', 'password'), never)).toBe('old')
    place.put(about.path('one'), { password: 'new' })
    expect(await provider.read(name('one', 'password'), never)).toBe('new')
  })

  test.each(['absent', 'nothing', '__proto__', 'constructor', 'toString'])(
    'no key %s: not_found',
    async (key) => {
      const { place, provider, secrets } = now()
      place.put(about.path('one'), fields)
      const error = await failureOf({ secrets }, provider.read(name('one', key), never))
      expect(error).toMatchObject({ kind: 'not_found', message: expect.stringContaining(key) })
    },
  )

  test('no such secret: not_found', async () => {
    const { place, provider, secrets } = now()
    place.put(about.path('one'), fields)
    for (const key of [null, 'password'])
      expect(await failureOf({ secrets }, provider.read(name('two', key), never))).toMatchObject({
        kind: 'not_found',
      })
  })

  test('a secret that it may not see: denied', async (context) => {
    const { place, provider, secrets } = now()
    if (typeof place.deny !== 'function') return context.skip(place.deny.because)
    place.put(about.path('one'), fields)
    place.put(about.path('two'), { password: 'visible' })
    place.deny(about.path('one'))
    expect(await failureOf({ secrets }, provider.read(name('one', null), never))).toMatchObject({
      kind: 'denied',
    })
    expect(await provider.read(name('two', 'password'), never)).toBe('visible')
  })

  test('concurrent reads do not mix', async () => {
    const { place, provider } = now()
    const many = Array.from({ length: 16 }, (_, n) => `many${n}`)
    for (const one of many) place.put(about.path(one), { password: `of ${one}` })
    const values = await Promise.all(many.map((one) => provider.read(name(one, 'password'), never)))
    expect(values).toEqual(many.map((one) => `of ${one}`))
  })

  test('a signal that has aborted ends the read', async () => {
    const { provider, secrets } = now()
    const error = await failureOf({ secrets }, provider.read(name('one', null), AbortSignal.abort()))
    expect(error.kind).not.toBe('denied')
  })

  test('closes more than once, also before its first read', async () => {
    const { place, provider } = now()
    place.put(about.path('one'), fields)
    const unused = about.definition.create(place.options)
    await unused.close()
    await unused.close()
    await provider.read(name('one', null), never)
    await provider.close()
    await provider.close()
  })
}

const breakOff: Behaviour = (response) => response.destroy()

const breakOffInBody: Behaviour = (response) => {
  response.writeHead(200, { 'content-length': 100 })
  response.write('half', () => response.destroy())
}

/** What a service does instead of answering, and what a read makes of it. */
const hostile: readonly (readonly [string, Behaviour, patience?: number])[] = [
  ['answers 500', answer(500)],
  ['answers 503', answer(503, { 'retry-after': '1' })],
  ['answers 429', answer(429, { 'retry-after': '1' })],
  ['answers 200 with a page', answer(200, { 'content-type': 'text/html' }, '<html>sign in</html>')],
  ['answers 200 with nothing', answer(200)],
  [
    'answers 200 with broken JSON',
    answer(200, { 'content-type': 'application/json' }, '{"data":{"password":"'),
  ],
  [
    'answers 200 with other JSON',
    answer(200, { 'content-type': 'application/json' }, '{"data":null,"auth":7}'),
  ],
  ['answers without end', answerWithoutEnd],
  ['says how much too much it will send', answer(200, { 'content-length': limits.secret_answer_bytes * 4 })],
  ['breaks off before its answer', breakOff],
  ['breaks off in its answer', breakOffInBody],
  ['says nothing', hang, 100],
  ['stops after its head', hangAfterHead, 100],
  ['answers byte by byte', answerByteByByte, 100],
]

/** Everything that it was sent, back, with a canary: a message that quotes an answer would show it. */
const echo =
  (status: number): Behaviour =>
  (response, { rawHeaders, body }) => {
    const said = `${canary} ${rawHeaders.join(' ')} ${body}`
    const message = JSON.stringify({ errors: [said], message: said, Message: said, error: { message: said } })
    response.writeHead(status, { 'content-type': 'application/json' }).end(message)
  }

function describeHostile<Options extends TObject>(about: ProviderConformance<Options>): void {
  const now = opened(about)
  const name = { path: about.path('one'), key: 'password' }

  /** Makes the place misbehave; before or after the provider has signed in and read once. */
  async function misbehave(behaviour: Behaviour, warm: boolean): Promise<boolean> {
    const { place, provider } = now()
    if (typeof place.behave !== 'function') return false
    place.behave(null)
    place.put(about.path('one'), { password: canary })
    if (warm) await provider.read(name, never)
    place.behave(behaviour)
    return true
  }

  async function recovers(): Promise<void> {
    const { place, provider } = now()
    if (typeof place.behave === 'function') place.behave(null)
    expect(await provider.read(name, never)).toBe(canary)
  }

  const reason = ({ behave }: SecretsPlace<unknown>) => (typeof behave === 'function' ? '' : behave.because)

  for (const [what, behaviour, patience] of hostile) {
    test.for([false, true])(
      `${what}: unavailable, and the next read is fine (read before: %s)`,
      async (warm, ctx) => {
        const { place, provider, secrets } = now()
        if (!(await misbehave(behaviour, warm))) return ctx.skip(reason(place))
        const signal = patience === undefined ? never : AbortSignal.timeout(patience)
        const { kind } = await failureOf({ secrets }, provider.read(name, signal))
        // A service of plain bytes may have meant it: then the text has no such key.
        const kinds: SecretFailure[] =
          warm && what.startsWith('answers 200') ? ['unavailable', 'not_found'] : ['unavailable']
        expect(kinds).toContain(kind)
        await recovers()
      },
    )
  }

  test.for([301, 302, 303, 307, 308])('a redirect (%i) is not followed', async (status, context) => {
    const { place, provider, secrets } = now()
    const elsewhere = await startElsewhere()
    try {
      if (!(await misbehave(answer(status, { location: elsewhere.url }), true)))
        return context.skip(reason(place))
      const error = await failureOf({ secrets }, provider.read(name, never))
      expect(error.kind).toBe('unavailable')
      expect(elsewhere.asked()).toBe(0)
    } finally {
      await elsewhere.close()
    }
  })

  test.for([400, 401, 403, 404, 409, 500])(
    'an answer %i that quotes everything is not quoted',
    async (status, ctx) => {
      for (const warm of [false, true]) {
        const { place, provider, secrets } = now()
        if (!(await misbehave(echo(status), warm))) return ctx.skip(reason(place))
        await failureOf({ secrets }, provider.read(name, never))
      }
    },
  )

  test('nobody listens: unavailable', async (context) => {
    const { place, provider, secrets } = now()
    if (typeof place.behave !== 'function') return context.skip(place.behave.because)
    await place.close()
    expect(await failureOf({ secrets }, provider.read(name, never))).toMatchObject({ kind: 'unavailable' })
  })

  test('close ends a read that is waiting', async (context) => {
    const { place, provider, secrets } = now()
    const asked = Promise.withResolvers<void>()
    if (!(await misbehave(() => asked.resolve(), false))) return context.skip(reason(place))
    const failed = failureOf({ secrets }, provider.read(name, AbortSignal.timeout(8000)))
    await asked.promise
    const ended = Promise.withResolvers<string>()
    failed.then(() => ended.resolve('by close'), ended.reject)
    AbortSignal.timeout(5000).addEventListener('abort', () => ended.resolve('by its signal'))
    await provider.close()
    expect(await ended.promise).toBe('by close')
  })
}

async function startElsewhere() {
  let asked = 0
  const server = http.createServer((_, response) => {
    asked += 1
    response.end(JSON.stringify({ data: { data: { password: canary }, password: canary } }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked: () => asked,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
