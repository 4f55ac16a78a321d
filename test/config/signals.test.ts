/** Signals and exit codes of a running gateway, as a service manager sees them. */
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { GatewayStartError } from '../../demo/gateway-process.ts'
import { onEnd } from '../support/cleanup.ts'
import { startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

/** A gateway with one request that its upstream does not answer. */
async function busyGateway(timeouts: Record<string, number>) {
  const upstream = await startUpstream(() => {})
  const gateway = await startTestGateway({
    config: { collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }], listen: { timeouts } },
  })
  const answer = fetch(gateway.url).then(
    (response) => response.status,
    () => 'closed',
  )
  await until(() => upstream.received.length === 1, { what: 'the request at the upstream' })
  return { gateway, answer, upstream }
}

test('a signal that is delivered twice still drains: the request in progress is answered', async () => {
  const upstream = await startUpstream()
  const gateway = await startTestGateway({
    config: { collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }] },
  })
  upstream.handler = (_, response) => {
    gateway.process.child.kill('SIGINT')
    gateway.process.child.kill('SIGINT')
    const draining = until(() => gateway.logs().some(({ msg }) => msg === 'draining'), { what: 'the drain' })
    void draining.then(() => response.end('late'))
  }
  const response = await fetch(gateway.url)
  expect(await response.text()).toBe('late')
  expect(await gateway.process.exited).toBe(0)
})

test('a second signal a second later ends at once with 4', async () => {
  const { gateway, answer } = await busyGateway({ drain_ms: 60_000 })
  gateway.process.child.kill('SIGTERM')
  const { process } = gateway
  const signalled = () => !process.child.kill('SIGTERM') && !process.running
  await until(signalled, {
    what: 'the end',
    within_ms: 15_000,
    every_ms: 200,
  })
  expect(await gateway.process.exited).toBe(4)
  expect(await answer).toBe('closed')
})

test('a drain that runs over its time ends with 4', async () => {
  const { gateway } = await busyGateway({ drain_ms: 300 })
  expect(await gateway.stop('SIGTERM', 20_000)).toBe(4)
})

test('a port that is taken is one sentence on stderr, exit code 3', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onEnd(() => void server.close())
  const { port } = server.address() as { port: number }
  const config = { collections: [{ name: 'api', upstreams: [{ url: 'http://127.0.0.1:3000' }] }] }
  const failure = await startTestGateway({ config: { ...config, listen: { port } } }).catch((error) => error)
  expect(failure).toBeInstanceOf(GatewayStartError)
  expect(failure).toMatchObject({ exitCode: 3 })
  expect((failure as Error).message).toMatch(new RegExp(`mirrorgate: .*${port}`))
})

test('SIGHUP with a wrong file changes nothing and is told; SIGTERM after it ends with 0', async () => {
  const upstream = await startUpstream()
  const gateway = await startTestGateway({
    config: { collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }] },
  })
  await gateway.rewrite({ yaml: 'collections: []\n' })
  gateway.process.child.kill('SIGHUP')
  const rejected = await until(async () => (await gateway.admin.status()).config.last_rejected, {
    what: 'the rejected reload',
  })
  expect(rejected.problems.map(({ message }) => message)).toEqual([
    'must have at least 1 item, got an empty list',
  ])
  expect((await fetch(gateway.url)).status).toBe(200)
  expect(await gateway.stop('SIGTERM', 20_000)).toBe(0)
})
