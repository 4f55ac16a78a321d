/** Clients that reset their connection before it was accepted: nothing is forwarded in nobody's name. */
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { startTestGateway } from '../support/gateway.ts'
import { standsStill } from '../support/process.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const onLinux = test.skipIf(process.platform !== 'linux')

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

onLinux('who is gone has no address, and is not served (reads /proc, Linux only)', async () => {
  const upstream = await startUpstream()
  const gateway = await startTestGateway({
    config: { collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }] },
  })
  process.kill(gateway.pid, 'SIGSTOP')
  await until(() => standsStill(gateway.pid), { what: 'every thread stands still' })
  const gone = await RawClient.connect(gateway.port)
  await new Promise((sent) => gone.socket.write(get('/gone'), sent))
  gone.socket.resetAndDestroy()
  const here = await RawClient.connect(gateway.port)
  here.send(get('/here'))
  process.kill(gateway.pid, 'SIGCONT')
  expect((await here.response()).status).toBe(200)
  here.destroy()
  await until(
    async () => {
      const { text } = await gateway.admin.call('GET', '/metrics')
      return /^mirrorgate_connections_open 0$/m.test(text)
    },
    { what: 'no connection is left' },
  )
  expect(upstream.received.map(({ url }) => url)).toEqual(['/here'])
  expect(upstream.received[0]?.headers['x-forwarded-for']).toBe('127.0.0.1')
})
