/** The aws-secrets-manager provider: conformance, signatures, ARNs, binary secrets, found credentials. */
import { expect, test, vi } from 'vitest'
import { providerConformance } from '../../test/conformance/provider-suite.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { type FakeAws, startAws } from '../../test/support/secrets/aws.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import aws from './provider.ts'

type Options = Parameters<typeof aws.create>[0]

const never = new AbortController().signal

function reach({ url, region, keys }: FakeAws): Options {
  return { endpoint: url, region, access_key_id: keys.id, secret_access_key: keys.secret, ca_file: caFile }
}

const arn = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/zendesk-a1B2c3'

providerConformance({
  definition: aws,
  async start() {
    const server = await startAws()
    return {
      options: reach(server),
      put: (path, fields) => server.secrets.set(path, JSON.stringify(fields)),
      deny: (path) => server.denied.add(path),
      behave: server.behave,
      close: server.close,
    }
  },
  path: (name) => `prod/team/${name}`,
  workato: {
    good: [
      [`password:${arn}`, { path: arn, key: 'password' }],
      [`key name:${arn}`, { path: arn, key: 'key name' }],
    ],
    bad: ['password', 'password:prod/zendesk', arn, `:${arn}`, 'password:arn:aws:s3:::bucket'],
  },
})

async function open(own: (server: FakeAws) => Partial<Options> = () => ({})) {
  const server = await startAws()
  onEnd(server.close)
  server.secrets.set('prod/app', '{"password":"hunter2"}')
  const provider = aws.create({ ...reach(server), ...own(server) })
  onEnd(() => provider.close())
  return {
    server,
    read: (path = 'prod/app', key: string | null = 'password') => provider.read({ path, key }, never),
  }
}

test('a secret is found by its ARN as by its name', async () => {
  const { server, read } = await open()
  expect(await read(server.arn('prod/app'))).toBe('hunter2')
})

test('a binary secret is read as text, and refused when it is none', async () => {
  const { server, read } = await open()
  server.secrets.set('bin', Buffer.from('pass wörd'))
  expect(await read('bin', null)).toBe('pass wörd')
  server.secrets.set('bin', Buffer.from([0xff, 0x00]))
  await expect(read('bin', null)).rejects.toMatchObject({
    kind: 'not_found',
    message: expect.stringContaining('UTF-8'),
  })
})

test('temporary credentials carry their session token', async () => {
  const { server, read } = await open(({ keys }) => ({ session_token: keys.sessionToken }))
  server.session = true
  expect(await read()).toBe('hunter2')
})

test.each([
  ['a wrong key', { secret_access_key: 'wrong-secret-key' }, 'check secret_access_key'],
  ['an unknown key', { access_key_id: 'AKIAOTHER' }, 'does not know the access key'],
  ['another region', { region: 'us-east-1' }, 'check secret_access_key, region'],
])('%s is denied, with what to check', async (_what, own, hint) => {
  const { read } = await open(() => own)
  await expect(read()).rejects.toMatchObject({ kind: 'denied', message: expect.stringContaining(hint) })
})

test('a secret that is scheduled for deletion is not found', async () => {
  const { server, read } = await open()
  server.secrets.set('prod/app', null)
  await expect(read()).rejects.toMatchObject({
    kind: 'not_found',
    message: expect.stringContaining('scheduled for deletion'),
  })
})

test('without keys, the credentials and region of the machine are used', async () => {
  const { server } = await open()
  const machine = {
    AWS_ACCESS_KEY_ID: server.keys.id,
    AWS_SECRET_ACCESS_KEY: server.keys.secret,
    AWS_REGION: server.region,
  }
  for (const [name, value] of Object.entries(machine)) vi.stubEnv(name, value)
  onEnd(() => vi.unstubAllEnvs())
  const provider = aws.create({ endpoint: server.url, ca_file: caFile })
  expect(await provider.read({ path: 'prod/app', key: 'password' }, never)).toBe('hunter2')
  await provider.close()
})

test('a machine without credentials or region is said, not an error of the SDK', async () => {
  const { server } = await open()
  const nothing = [
    'AWS_REGION',
    'AWS_DEFAULT_REGION',
    'AWS_PROFILE',
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
  ]
  for (const name of nothing) vi.stubEnv(name, undefined)
  const files = {
    AWS_CONFIG_FILE: '/nowhere',
    AWS_SHARED_CREDENTIALS_FILE: '/nowhere',
    AWS_EC2_METADATA_DISABLED: 'true',
  }
  for (const [name, value] of Object.entries(files)) vi.stubEnv(name, value)
  onEnd(() => vi.unstubAllEnvs())
  const read = async (own: Options) => {
    const provider = aws.create({ endpoint: server.url, ca_file: caFile, ...own })
    onEnd(() => provider.close())
    return provider.read({ path: 'prod/app', key: null }, never)
  }
  await expect(read({ region: 'eu-central-1' })).rejects.toMatchObject({
    kind: 'denied',
    message: expect.stringContaining('no credentials found'),
  })
  await expect(read({ access_key_id: 'a', secret_access_key: 'b' })).rejects.toMatchObject({
    message: 'region must be set, or AWS_REGION',
  })
})

test.each([{ access_key_id: 'a' }, { secret_access_key: 'b' }, { session_token: 'c' }])(
  'half a key is refused at once: %o',
  (options) => {
    expect(aws.rule?.(options)).toMatch(/^must have /)
    expect(() => aws.create(options)).toThrow('must have')
  },
)
