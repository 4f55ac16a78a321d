/** Rules that sinks bring themselves: shown with their place, and without secrets. */
import { expect, test } from 'vitest'
import { sinks } from '../../plugins/index.ts'
import { loadConfig } from '../../src/config/load.ts'

async function problemsOf(mirror: string, rest = ''): Promise<string[]> {
  const text = [
    'collections: [{ name: api, upstreams: [{ url: "http://127.0.0.1:1" }] }]',
    rest,
    `mirrors: [{ name: m, ${mirror} }]`,
  ].join('\n')
  const env = { SECRET: 'hunter2hunter2' }
  const loaded = await loadConfig({ file: 'x.yaml', text, env, sinks, providers: [], generation: 1 })
  return loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`)
}

const s3 = 'sink: s3, bucket: audit'

test.each([
  [`${s3}, key: "{recipe}/{id}"`, 'did you mean {recipe_id}, got "{recipe}/{id}"'],
  [`${s3}, access_key_id: AKIA`, 'must stand together with secret_access_key, got "AKIA"'],
  [`${s3}, secret_access_key: "\${env:SECRET}"`, 'access_key_id must stand together with secret_access_key'],
  [`${s3}, kms_key_id: k, sse: AES256`, 'must stand together with sse aws:kms'],
  ['sink: s3, bucket: Audit', 'must be the name of a bucket'],
  ['sink: azure-blob, account: logs, container: audit, tenant_id: t', 'must stand together with client_id'],
  [
    'sink: azure-blob, account: logs, container: audit, account_key: "${env:SECRET}", ' +
      'sas_token: "${env:SECRET}"',
    'must not stand beside account_key',
  ],
  [
    'sink: gcs, bucket: audit, key_file: a, service_account_key: "${env:SECRET}"',
    'must not stand beside service_account_key',
  ],
])('%s', async (mirror, said) => {
  const problems = await problemsOf(mirror)
  expect(problems.join('\n')).toContain(said)
  expect(problems.join('\n')).not.toContain('hunter2')
})

test.each([
  ['{ "a b": x }', 'mirrors[0].fields["a b"]: must be a name of letters, digits, _ . and -, got "a b"'],
  ['{ "a\\nb": x }', 'must be a name of letters, digits, _ . and -, got "a\\nb"'],
  ['{ team: "größe" }', 'mirrors[0].fields.team: must be printable ASCII without , and =, got "größe"'],
  ['{ team: "a\\x7fb" }', 'must be printable ASCII without , and =, got'],
  ['{ team: "a,tier=1" }', 'must be printable ASCII without , and =, got "a,tier=1"'],
  ['{ team: x, tier.of-it: "1 a" }', ''],
])('fields %s of a header', async (fields, said) => {
  const problems = await problemsOf(`sink: sumo, url: "https://x.example/\${env:SECRET}", fields: ${fields}`)
  if (said === '') expect(problems).toEqual([])
  else expect(problems.join('\n')).toContain(said)
})

test.each([
  ['sink: otlp, url: "http://127.0.0.1:1", attributes: { "a\\nb": { not: text } }', 'attributes'],
  ['sink: splunk, url: "http://127.0.0.1:1", token: "${env:SECRET}", fields: { "a\\nb": 5 }', 'fields'],
])('names on two lines are none: %s', async (mirror, key) => {
  const problems = await problemsOf(mirror)
  expect(problems.join('\n')).toContain('must be a name on one line, got "a\\nb"')
  expect(problems.join('\n')).toContain(`mirrors[0].${key}`)
})

test('a connection that says more than how to connect is refused by a sink that signs in', async () => {
  const connections = (more: string) => `connections: [{ name: c, ${more} }]`
  const mirror = `${s3}, region: eu-central-1, connection: c`
  const rule = 'must have neither base_url nor headers, since sink s3 signs in by its own options, got "c"'
  for (const more of ['base_url: "https://x.example"', 'headers: { X-A: "b" }'])
    expect((await problemsOf(mirror, connections(more))).join('\n')).toContain(rule)
  expect(await problemsOf(mirror, connections('proxy_url: "http://proxy:3128"'))).toEqual([])
})
