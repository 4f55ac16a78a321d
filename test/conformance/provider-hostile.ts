/** What services do instead of answering, and what every provider of secrets makes of it. */
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TObject } from 'typebox'
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import type { SecretFailure } from '../../src/contract/secrets.ts'
import {
  answer,
  answerByteByByte,
  answerWithoutEnd,
  type Behaviour,
  hang,
  hangAfterHead,
} from './collector.ts'
import {
  canary,
  failureOf,
  never,
  opened,
  type ProviderConformance,
  type SecretsPlace,
} from './provider-place.ts'

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

export function describeHostile<Options extends TObject>(about: ProviderConformance<Options>): void {
  const scene = sceneOf(about)
  describeUnavailable(scene)
  describeUnanswered(scene)
}

type Scene = ReturnType<typeof sceneOf>

/** A secret, a provider for it, and how to make its place misbehave. */
function sceneOf<Options extends TObject>(about: ProviderConformance<Options>) {
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

  return { now, name, misbehave, recovers, reason }
}

function describeUnavailable({ now, name, misbehave, recovers, reason }: Scene): void {
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

  test('asks once: whether to try again is for the host to say', async (context) => {
    const { place, provider, secrets } = now()
    let asked = 0
    const refuse: Behaviour = (response) => {
      asked += 1
      response.writeHead(503).end()
    }
    if (!(await misbehave(refuse, true))) return context.skip(reason(place))
    const error = await failureOf({ secrets }, provider.read(name, never))
    expect(error).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('503') })
    expect(asked).toBe(1)
  })

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
}

function describeUnanswered({ now, name, misbehave, reason }: Scene): void {
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
