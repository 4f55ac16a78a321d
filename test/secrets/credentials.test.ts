/** Targets and the secrets in them: every field is filled, and sinks open anew when a value changes. */
import { expect, test } from 'vitest'
import { referenceText, type SecretReference } from '../../src/contract/secret-reference.ts'
import { SecretError } from '../../src/contract/secrets.ts'
import type { ShipResult, ShipTask, Target } from '../../src/contract/tasks.ts'
import { Credentials } from '../../src/shipper/credentials.ts'
import { target } from '../conformance/target.ts'

const accepted: ShipResult = { ok: true, status: 200, latencyMs: 1, bytes: 1 }

function refused(kind: 'unauthorized' | 'not_found', status: number): ShipResult {
  const nothing = { retryAfterMs: null, answer: null, network: false, item: null, corrupt: [] }
  return { ok: false, kind, status, message: `answered ${status}`, latencyMs: 1, ...nothing }
}

/** Credentials before a shipper that answers as it is told, one answer after the other. */
function open(values: Record<string, string>, ...answers: ShipResult[]) {
  const sent: Target[] = []
  const told: string[][] = []
  const read = async (reference: SecretReference) => {
    const value = values[reference.path]
    if (value === undefined) throw new SecretError('not_found', 'no such secret')
    return { value, readAt: 0 }
  }
  const credentials = new Credentials({
    ship: async (task) => {
      sent.push(task.target)
      return answers.shift() ?? accepted
    },
    secrets: { read, readAgain: read },
    refused: (mirror, references) => told.push([mirror, ...references.map(referenceText)]),
  })
  const ship = (changes: Partial<Target['connection']>, templates: string[]) => {
    const source = { ndjson: '{}\n', items: 1 }
    const one = { leg: 'requests', batchId: 'b', timeoutMs: 1000, source, keepItem: false }
    return credentials.ship({ ...one, target: target({ templates }, changes) } satisfies ShipTask)
  }
  return { values, sent, told, ship }
}

const everywhere = {
  baseUrl: 'https://${secret:vault:host}/in',
  proxyUrl: 'http://${secret:vault:user}:x@egress:3128',
  headers: { 'X/Odd~Name': '${secret:vault:user}:${secret:vault:host} costs ${$}5', Plain: '${secret:no}' },
  tls: { verify: true, server_name: '${secret:vault:host}' },
}
const fields = ['/base_url', '/proxy_url', '/headers/X~1Odd~0Name', '/tls/server_name']

test('every field of a connection is filled, others are left alone', async () => {
  const { sent, ship } = open({ host: 'h.example.com', user: 'ann' })
  expect(await ship(everywhere, fields)).toBe(accepted)
  expect(sent[0]?.connection).toMatchObject({
    baseUrl: 'https://h.example.com/in',
    proxyUrl: 'http://ann:x@egress:3128',
    headers: { 'X/Odd~Name': 'ann:h.example.com costs $5', Plain: '${secret:no}' },
    tls: { verify: true, server_name: 'h.example.com' },
    secretValues: ['h.example.com', 'ann'],
  })
})

test('the secrets among the options of a sink are filled too', async () => {
  const values = { user: 'ann' }
  const read = async ({ path }: SecretReference) => ({ value: values[path as 'user'], readAt: 0 })
  const sent: Target[] = []
  const credentials = new Credentials({
    ship: async (task) => {
      sent.push(task.target)
      return accepted
    },
    secrets: { read, readAgain: read },
    refused: () => {},
  })
  const options = { token: 'Token ${secret:vault:user}', other: '${secret:vault:user}' }
  const one = {
    leg: 'events',
    batchId: 'b',
    timeoutMs: 1000,
    source: { ndjson: '', items: 0 },
    keepItem: false,
  }
  await credentials.ship({
    ...one,
    target: target({ options, secretOptions: ['token'], templates: ['/options/token'] }),
  })
  expect(sent[0]?.options).toEqual({ token: 'Token ann', other: '${secret:vault:user}' })
  expect(sent[0]?.connection.secretValues).toEqual(['ann'])
})

test('another value is another target, the same one is the same', async () => {
  const { values, sent, ship } = open({ host: 'a', user: 'b' })
  await ship(everywhere, fields)
  await ship(everywhere, fields)
  values['user'] = 'c'
  await ship(everywhere, fields)
  const keys = sent.map(({ key }) => key)
  expect(keys[0]).toBe(keys[1])
  expect(keys[2]).not.toBe(keys[1])
})

test('without references nothing is asked', async () => {
  const { sent, ship } = open({})
  await ship({ headers: { Plain: '${secret:vault:host}' } }, [])
  expect(sent[0]?.connection.headers).toEqual({ Plain: '${secret:vault:host}' })
})

test('what cannot be read is a retry that names the reference, and nothing is sent', async () => {
  const { sent, ship } = open({ host: 'a' })
  expect(await ship(everywhere, fields)).toMatchObject({
    ok: false,
    kind: 'retry',
    status: null,
    message: 'reading ${secret:vault:user}: not_found: no such secret',
  })
  expect(sent).toEqual([])
})

test('only a refusal of credentials asks for them again', async () => {
  const { sent, ship } = open({ host: 'a', user: 'b' }, refused('not_found', 404))
  expect(await ship(everywhere, fields)).toMatchObject({ kind: 'not_found' })
  expect(sent.length).toBe(1)
})

test('the same values are sent twice once, and again after they were accepted', async () => {
  const no = refused('unauthorized', 401)
  const { sent, told, ship } = open({ host: 'a', user: 'b' }, no, no, no, accepted, no, no)
  const posts = async () => {
    const before = sent.length
    const result = await ship(everywhere, fields)
    return [result.ok, sent.length - before]
  }
  expect(await posts()).toEqual([false, 2])
  expect(await posts()).toEqual([false, 1])
  expect(await posts()).toEqual([true, 1])
  expect(await posts()).toEqual([false, 2])
  expect(told).toEqual([
    ['mirror-1', '${secret:vault:host}', '${secret:vault:user}'],
    ['mirror-1', '${secret:vault:host}', '${secret:vault:user}'],
  ])
})
