/** References to secrets in a loaded configuration stay what they are where a delivery resolves them. */
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import type { MirrorConfig } from '../../src/config/schema.ts'
import { fillTemplate, referencesOf } from '../../src/contract/secret-reference.ts'
import { targetOf } from '../../src/shipper/targets.ts'
import { loadFixture } from './report.ts'
import { providers } from './providers.ts'
import { sinks } from './sinks.ts'

test('the fields of a connection keep their references, with variables filled in', async () => {
  const loaded = await loadFixture(new URL('good/secrets.yaml', import.meta.url).pathname)
  if (!loaded.ok) throw new Error('it must load')
  const [connection] = loaded.config.connections
  expect(connection?.secret_fields).toEqual([
    '/base_url',
    '/proxy_url',
    '/headers/Authorization',
    '/headers/X-Api-Key',
  ])
  expect(connection?.base_url).toBe('https://${secret:second:salt/host}/in')
  expect(connection?.headers).toEqual({
    Authorization: 'Basic ${secret:corporate:kv/salt#token}',
    'X-Api-Key': '${secret:corporate:salt#key}',
  })
  expect(loaded.config.mirrors[0]?.options['url'], 'below a base that is not known yet').toBe('/events')
  expect(loaded.config.admin.clients[0]?.token, 'read when the file is').toBe('token-of-the-machine')
  expect(loaded.config.secrets.providers.map(({ name }) => name)).toEqual(['corporate', 'second', 'env'])
  expect(loaded.config.secrets.providers[0]?.options).toEqual({
    address: 'https://vault.example.com',
    token: 'ops-token-from-the-environment',
    ca_file: new URL('good/ca.pem', import.meta.url).pathname,
  })
})

test('the secret options of a sink keep their references, its other options cannot have any', async () => {
  const text = `
secrets: { providers: [{ name: vault, provider: vault, address: x }] }
collections: [{ name: api, upstreams: [{ url: "http://127.0.0.1:1" }] }]
mirrors: [{ name: m, sink: narrow, token: "\${secret:vault:a#b}" }]
`
  const load = (changed: string) =>
    loadConfig({ file: 'x.yaml', text: changed, env: {}, sinks, providers, generation: 1 })
  const loaded = await load(text)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const [mirror] = loaded.config.mirrors
  expect(mirror).toMatchObject({
    options: { token: '${secret:vault:a#b}' },
    secret_options: ['token'],
    secret_fields: ['/options/token'],
  })
  const owner = { kind: 'mirrors', name: 'out' } as const
  const use = { origin: { environment: 'dev', workspaceId: 1 }, render: null }
  expect(targetOf(owner, mirror as MirrorConfig, undefined, use).templates).toEqual(['/options/token'])

  const other = await load(text.replace('token:', 'token: abcdefghijklmnop, level:'))
  expect(other.ok, 'a value that is needed when the file is read').toBe(false)
})

test('what looks like a reference and is none comes through a template unchanged', async () => {
  const text = `
secrets: { providers: [{ name: vault, provider: vault, address: x }] }
collections: [{ name: api, upstreams: [{ url: "http://127.0.0.1:1" }] }]
connections: [{ name: c, headers: { X: "$5 $\${secret:vault:a} \${env:TRICK}$\${secret:vault:b}$" } }]
`
  const env = { TRICK: '${secret:vault:of-the-environment}$' }
  const loaded = await loadConfig({ file: 'x.yaml', text, env, sinks, providers, generation: 1 })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const [connection] = loaded.config.connections
  expect(connection?.secret_fields, 'no reference at all').toBeUndefined()
  const literal = '$5 ${secret:vault:a} ${secret:vault:of-the-environment}$${secret:vault:b}$'
  expect(connection?.headers['X']).toBe(literal)

  const mixed = text.replace('$"', '$ ${secret:vault:real#key}"')
  const again = await loadConfig({ file: 'x.yaml', text: mixed, env, sinks, providers, generation: 1 })
  if (!again.ok) throw new Error(JSON.stringify(again.problems))
  const template = again.config.connections[0]?.headers['X'] ?? ''
  expect(referencesOf(template)).toEqual([{ provider: 'vault', path: 'real', key: 'key' }])
  expect(fillTemplate(template, () => '$& $1 ${env:HOME}')).toBe(`${literal} $& $1 \${env:HOME}`)
})

test('rotating a secret changes no configuration, another reference does', async () => {
  const hashOf = async (reference: string) => {
    const text = `
secrets: { providers: [{ name: vault, provider: vault, address: x }] }
collections: [{ name: api, upstreams: [{ url: "http://127.0.0.1:1" }] }]
connections: [{ name: c, headers: { X: "${reference}" } }]
`
    const loaded = await loadConfig({ file: 'x.yaml', text, env: {}, sinks, providers, generation: 1 })
    return loaded.ok ? loaded.config.hash : null
  }
  const [one, same, other] = [
    await hashOf('${secret:vault:a}'),
    await hashOf('${secret:vault:a}'),
    await hashOf('${secret:vault:b}'),
  ]
  expect(one).toBe(same)
  expect(one).not.toBe(other)
})
