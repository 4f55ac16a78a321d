/** The secrets cache: read once, kept for its time, longer when it cannot be read, forgotten when told. */
import { expect, test } from 'vitest'
import { referenceText, type SecretReference } from '../../src/contract/secret-reference.ts'
import { SecretError } from '../../src/contract/secrets.ts'
import { type CacheSettings, SecretsCache } from '../../src/secrets/cache.ts'
import { onEnd } from '../support/cleanup.ts'
import { until } from '../support/wait.ts'

const HOUR = 3_600_000
const relaxed = { ttl_ms: HOUR, stale_ms: HOUR, negative_ms: HOUR, max_entries: 100, timeout_ms: 5000 }
const token: SecretReference = { provider: 'vault', path: 'salt', key: 'token' }
const other: SecretReference = { provider: 'aws', path: 'salt', key: null }

type Answer = string | SecretError | Promise<string>

/** A cache before a place whose answers are set by hand. */
function open(settings: Partial<CacheSettings> = {}, first: Answer = 'one') {
  const place = {
    answer: first,
    reads: 0,
    changed: [] as string[],
    /** Reads as they were told: `succeeded`, `failed` or `failed, usable`. */
    told: [] as string[],
    signals: [] as AbortSignal[],
  }
  const cache = new SecretsCache(
    { ...relaxed, ...settings },
    {
      async read(_reference, signal) {
        place.reads += 1
        place.signals.push(signal)
        const { answer } = place
        if (answer instanceof SecretError) throw answer
        return answer
      },
      changed: (reference) => place.changed.push(referenceText(reference)),
      succeeded: () => place.told.push('succeeded'),
      failed: (_reference, _error, usable) => place.told.push(usable ? 'failed, usable' : 'failed'),
    },
  )
  onEnd(() => cache.close())
  return { cache, place, value: async (of = token) => (await cache.read(of)).value }
}

const down = () => new SecretError('unavailable', 'connection refused')

test('a secret is read once, however many deliveries want it at the same time', async () => {
  const answer = Promise.withResolvers<string>()
  const { place, value } = open({}, answer.promise)
  const wanted = Array.from({ length: 50 }, () => value())
  answer.resolve('one')
  expect(new Set(await Promise.all(wanted))).toEqual(new Set(['one']))
  expect(await value()).toBe('one')
  expect(place.reads).toBe(1)
})

test('after its time the next delivery reads it; shortly before, it is read in the background', async () => {
  const { place, value } = open({ ttl_ms: 200 })
  expect(await value()).toBe('one')
  place.answer = 'two'
  await until(async () => (await value()) === 'two', { what: 'the new value', every_ms: 5 })
  expect(place.reads).toBe(2)
  expect(place.changed).toEqual(['${secret:vault:salt#token}'])

  const slow = Promise.withResolvers<string>()
  place.answer = slow.promise
  await until(async () => (await value()) === 'two' && place.reads === 3, {
    what: 'a read ahead, while the value is still given out',
    every_ms: 5,
  })
  slow.resolve('three')
  await until(async () => (await value()) === 'three', { what: 'what was read ahead', every_ms: 5 })
})

test('while it cannot be read it is used for longer, then no more', async () => {
  const { place, value } = open({ ttl_ms: 100, stale_ms: 400, negative_ms: 50 })
  expect(await value()).toBe('one')
  place.answer = down()
  await until(() => value().then(() => place.reads > 1), { what: 'a read that failed', every_ms: 5 })
  expect(await value(), 'the value that it had').toBe('one')
  expect(place.told.slice(0, 2)).toEqual(['succeeded', 'failed, usable'])
  const refused = await until(
    () =>
      value().then(
        () => null,
        (error: SecretError) => error,
      ),
    { what: 'the end of its time', every_ms: 10 },
  )
  expect(refused).toMatchObject({ name: 'SecretError', kind: 'unavailable', message: 'connection refused' })
  place.answer = 'two'
  await until(async () => (await value()) === 'two', { what: 'the place is back', every_ms: 10 })
  expect(place.told.at(-1)).toBe('succeeded')
})

test('what could not be read is not asked for again at once', async () => {
  const { cache, place, value } = open({ negative_ms: 150 }, new SecretError('not_found', 'no such secret'))
  const refusals = Array.from({ length: 20 }, () => expect(value()).rejects.toThrow('no such secret'))
  await Promise.all(refusals)
  await expect(value()).rejects.toThrow('no such secret')
  expect(place.reads).toBe(1)
  place.answer = 'one'
  await until(async () => (await value()) === 'one', { what: 'it is asked for again', every_ms: 10 })
  expect(place.reads).toBe(2)
  expect(cache.size).toBe(1)
})

test('clearing forgets values and failures, and what is being read is read anew', async () => {
  const { cache, place, value } = open()
  await value()
  cache.clear()
  expect(cache.size).toBe(0)
  const old = Promise.withResolvers<string>()
  place.answer = old.promise
  const waiting = value()
  await until(() => place.reads === 2, { what: 'the read' })
  cache.clear()
  place.answer = 'two'
  old.resolve('one')
  expect(await waiting, 'not what was read before it was cleared').toBe('two')
  expect(place.changed, 'seen although the old value was forgotten').toEqual(['${secret:vault:salt#token}'])

  place.answer = down()
  cache.clear()
  await expect(value()).rejects.toThrow('connection refused')
  place.answer = 'three'
  cache.clear()
  expect(await value()).toBe('three')
})

test('a change at a provider outdates its secrets alone; they are used while it cannot be read', async () => {
  const { cache, place, value } = open()
  await value(token)
  await value(other)
  expect(place.reads).toBe(2)
  cache.outdate('vault')
  place.answer = down()
  expect(await value(token)).toBe('one')
  expect(place.reads).toBe(3)
  cache.outdate('vault')
  place.answer = 'two'
  expect(await value(token), 'a failure before the change counts no more').toBe('two')
  expect(await value(other)).toBe('one')
  expect(place.reads).toBe(4)
})

test('a change while a secret is being read has it read again', async () => {
  const { cache, place, value } = open()
  const old = Promise.withResolvers<string>()
  place.answer = old.promise
  const waiting = value()
  await until(() => place.reads === 1, { what: 'the read' })
  cache.outdate('vault')
  old.resolve('one')
  await waiting
  place.answer = 'two'
  expect(await value()).toBe('two')
})

test('a refused secret is read again once for all, and stays when that fails', async () => {
  const { cache, place } = open()
  const used = await cache.read(token)
  place.answer = 'two'
  const again = await Promise.all([cache.readAgain(token, used.readAt), cache.readAgain(token, used.readAt)])
  expect(again.map(({ value }) => value)).toEqual(['two', 'two'])
  expect((await cache.readAgain(token, used.readAt)).value, 'another delivery had it read').toBe('two')
  expect(place.reads).toBe(2)
  place.answer = down()
  const latest = await cache.read(token)
  await expect(cache.readAgain(token, latest.readAt)).rejects.toThrow('connection refused')
  expect((await cache.read(token)).value).toBe('two')
})

test('the least recently used secret gives way', async () => {
  const { cache, place, value } = open({ max_entries: 2 })
  const secrets = ['a', 'b', 'c'].map((path) => ({ provider: 'vault', path, key: null }))
  for (const secret of secrets) await value(secret)
  expect(cache.size).toBe(2)
  await value(secrets[2] as SecretReference)
  expect(place.reads).toBe(3)
  await value(secrets[0] as SecretReference)
  expect(place.reads).toBe(4)
})

test('closing ends what waits', async () => {
  const { cache, place } = open({}, new Promise<string>(() => {}))
  const waiting = expect(cache.read(token)).rejects.toThrow('the read was given up')
  await until(() => place.reads === 1, { what: 'the read' })
  cache.close()
  await waiting
  expect(place.signals[0]?.aborted).toBe(true)
})
