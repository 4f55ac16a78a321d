/** The conjur provider: conformance, short-lived tokens, variables whose names and values are unusual. */
import { expect, test, vi } from 'vitest'
import { providerConformance } from '../../test/conformance/provider-suite.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { type FakeConjur, startConjur } from '../../test/support/secrets/conjur.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import conjur from './provider.ts'

type Options = Parameters<typeof conjur.create>[0]

const never = new AbortController().signal

function reach({ url, account, login, apiKey }: FakeConjur): Options {
  return { appliance_url: `${url}/api/`, account, login, api_key: apiKey, ca_file: caFile }
}

providerConformance({
  definition: conjur,
  async start() {
    const server = await startConjur()
    return {
      options: reach(server),
      put: (path, fields) => server.variables.set(path, JSON.stringify(fields)),
      deny: (path) => server.denied.add(path),
      behave: server.behave,
      close: server.close,
    }
  },
  path: (name) => `data/vault/team/${name}/password`,
  workato: {
    good: [
      [
        'data/vault/Partner-Workato/airtable/password',
        { path: 'data/vault/Partner-Workato/airtable/password', key: null },
      ],
    ],
    bad: ['key:variable'],
  },
})

async function open(own: Partial<Options> = {}) {
  const server = await startConjur()
  onEnd(server.close)
  server.variables.set('data/app', 'hunter2')
  const provider = conjur.create({ ...reach(server), ...own })
  onEnd(() => provider.close())
  const signIns = () => server.asked.filter(({ url }) => url.pathname.startsWith('/api/authn/')).length
  return { server, signIns, read: (path = 'data/app') => provider.read({ path, key: null }, never) }
}

test('one token serves many reads, also those that begin together', async () => {
  const { read, signIns } = await open()
  expect(await Promise.all([read(), read(), read()])).toEqual(['hunter2', 'hunter2', 'hunter2'])
  await read()
  expect(signIns()).toBe(1)
})

test('a token that was refused is replaced once', async () => {
  const { server, read, signIns } = await open()
  await read()
  server.tokens.clear()
  expect(await read()).toBe('hunter2')
  expect(signIns()).toBe(2)
})

test('a token is replaced before its 8 minutes are over', async () => {
  const { server, read, signIns } = await open()
  const now = performance.now()
  await read()
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 7 * 60_000)
  onEnd(() => clock.mockRestore())
  expect(await read()).toBe('hunter2')
  expect(signIns()).toBe(2)
  expect(server.asked).toHaveLength(4)
})

test.each([{ api_key: 'wrong-key' }, { account: 'other' }, { login: 'host/other' }])(
  'a sign-in that is refused is denied, with what to check: %o',
  async (own) => {
    const { read } = await open(own)
    await expect(read()).rejects.toMatchObject({
      kind: 'denied',
      message: expect.stringMatching(/check appliance_url, account, login and api_key$/),
    })
  },
)

test('a variable is named as Conjur names it, whatever it holds', async () => {
  const { server, read } = await open()
  for (const id of ['a/b/c', 'äöü', 'with space', 'dots/../up', 'q?x=1#y', '%2F', 'a+b']) {
    server.variables.set(id, `of ${id}\n`)
    expect(await read(id)).toBe(`of ${id}\n`)
  }
})

test('bytes that are no text are refused, not changed', async () => {
  const { server, read } = await open()
  server.variables.set('data/app', Buffer.from([0xff, 0xfe, 0x00]))
  await expect(read()).rejects.toMatchObject({ kind: 'not_found', message: expect.stringContaining('UTF-8') })
})
