/** Providers: bounded in time, kept over reloads, their failures told without what they were about. */
import { defineProvider, type ProviderDefinition, SecretError, Type } from 'mirrorgate/plugin'
import { expect, test } from 'vitest'
import { Providers } from '../../src/secrets/providers.ts'
import { onEnd } from '../support/cleanup.ts'

const reference = { provider: 'place', path: 'salt', key: null }
const never = new AbortController().signal

type Read = () => Promise<string>

function open(read: Read, more: { create?: () => never; watch?: (changed: () => void) => () => void } = {}) {
  const seen = { created: 0, closed: 0, changed: [] as string[] }
  const definition: ProviderDefinition = defineProvider({
    name: 'fake',
    summary: 'Answers as it is told.',
    options: Type.Object({ address: Type.Optional(Type.String()) }, { additionalProperties: false }),
    secretOptions: [],
    workato: () => ({ rule: 'is no form of fake' }),
    create() {
      seen.created += 1
      more.create?.()
      const close = () => {
        seen.closed += 1
      }
      return more.watch === undefined ? { read, close } : { read, close, watch: more.watch }
    },
  })
  const providers = new Providers([definition], (name) => seen.changed.push(name))
  const configure = (options: Record<string, unknown> = {}) =>
    providers.configure([{ name: 'place', provider: 'fake', options }])
  configure()
  onEnd(() => providers.close())
  return { providers, seen, configure }
}

test('one that does not answer ends with its time, whether it heeds the signal or not', async () => {
  const { providers } = open(() => new Promise(() => {}))
  await expect(providers.read(reference, never, 50)).rejects.toThrow('it did not answer within 50 ms')
  expect(providers.views()).toMatchObject([
    { name: 'place', provider: 'fake', state: 'failing', last_error: 'it did not answer within 50 ms' },
  ])
})

test('a bug of a provider is told by its kind alone: its message may quote the secret', async () => {
  const { providers } = open(() => Promise.reject(new TypeError('canary is not iterable')))
  await expect(providers.read(reference, never, 1000)).rejects.toThrow(
    'the provider threw TypeError, which is a bug of it',
  )
  expect(JSON.stringify([providers.views(), providers.reads()])).not.toContain('canary')
  expect(providers.reads().find(({ result }) => result === 'error')?.count).toBe(1)
})

test('its state says since when it fails; a secret that is not there is no failure of it', async () => {
  let answer: Read = () => Promise.resolve('value')
  const { providers } = open(() => answer())
  const read = () => providers.read(reference, never, 1000).catch((error: SecretError) => error.kind)
  expect(providers.views()[0]).toMatchObject({ state: 'unused', since: null, last_error: null })
  await read()
  const ok = providers.views()[0]
  expect(ok).toMatchObject({ state: 'ok', last_error: null })
  answer = () => Promise.reject(new SecretError('denied', 'the role may not read it'))
  expect(await read()).toBe('denied')
  const failing = providers.views()[0]
  expect(failing).toMatchObject({ state: 'failing', last_error: 'the role may not read it' })
  await read()
  expect(providers.views()[0]?.since, 'since the first failure').toBe(failing?.since)
  answer = () => Promise.reject(new SecretError('not_found', 'no such secret'))
  expect(await read()).toBe('not_found')
  expect(providers.views()[0]).toMatchObject({ state: 'ok', last_error: null })
  const counts = Object.fromEntries(providers.reads().map(({ result, count }) => [result, count]))
  expect(counts).toEqual({ ok: 1, not_found: 1, denied: 2, unavailable: 0, error: 0 })
})

test('a reload keeps what is the same, and closes what is different or gone', async () => {
  const { providers, seen, configure } = open(() => Promise.resolve('value'))
  configure()
  expect(seen).toMatchObject({ created: 1, closed: 0 })
  configure({ address: 'elsewhere' })
  expect(seen).toMatchObject({ created: 2, closed: 1, changed: ['place'] })
  providers.configure([])
  expect(seen.closed).toBe(2)
  await expect(providers.read(reference, never, 1000)).rejects.toThrow('there is no provider place any more')
})

test('one that cannot be made fails its reads and nothing else', async () => {
  const { providers } = open(() => Promise.resolve('value'), {
    create: () => {
      throw new Error('canary')
    },
  })
  await expect(providers.read(reference, never, 1000)).rejects.toThrow('the provider threw Error')
})

test('it is told when a provider sees a change, and no more after it was closed', async () => {
  const told: { change: () => void } = { change: () => {} }
  let watching = 0
  const { providers, seen } = open(() => Promise.resolve('value'), {
    watch(changed) {
      watching += 1
      told.change = changed
      return () => {
        watching -= 1
      }
    },
  })
  told.change()
  expect(seen.changed).toEqual(['place'])
  await providers.close()
  expect(watching).toBe(0)
})
