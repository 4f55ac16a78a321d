/**
 * The rules that every provider of secrets obeys. Each plugin's test calls it; what cannot apply is opted out
 * with a reason.
 */
import { Ajv } from 'ajv'
import type { TObject } from 'typebox'
import { describe, expect, test } from 'vitest'
import { describeHostile } from './provider-hostile.ts'
import { canary, failureOf, never, opened, type ProviderConformance } from './provider-place.ts'

export function providerConformance<Options extends TObject>(about: ProviderConformance<Options>): void {
  describe(`provider ${about.definition.name}`, { timeout: 10_000 }, () => {
    describeDefinition(about)
    describeReads(about)
    describeAbsence(about)
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

const fields = {
  password: canary,
  user: 'Zoë "quoted"\n',
  port: 5432,
  on: true,
  inner: { a: [1, 2] },
  empty: '',
  nothing: null,
}

function describeReads<Options extends TObject>(about: ProviderConformance<Options>): void {
  const now = opened(about)
  const name = (of: string, key: string | null) => ({ path: about.path(of), key })
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

function describeAbsence<Options extends TObject>(about: ProviderConformance<Options>): void {
  const now = opened(about)
  const name = (of: string, key: string | null) => ({ path: about.path(of), key })
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
}
