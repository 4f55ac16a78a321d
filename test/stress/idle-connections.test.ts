/** Thousands of connections that say nothing: the others are served, and all that they took comes back. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { onEnd } from '../support/cleanup.ts'
import { Client } from '../support/client.ts'
import { startTestGateway } from '../support/gateway.ts'
import { openDescriptors, residentBytes } from '../support/process.ts'
import { SOAK_MS, soak } from '../support/soak.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const CONNECTIONS = soak ? 9900 : 2000
const AT_A_TIME = 100
/** Time to open all of them. */
const IDLE_MS = soak ? 60_000 : 4000
const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

/** Every second one has been used before. */
async function openIdle(port: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  const open = async (isUsed: boolean) => {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => {})
    await once(socket, 'connect')
    if (isUsed) {
      socket.write(get)
      await once(socket, 'data')
    }
    socket.resume()
  }
  while (sockets.length < CONNECTIONS) {
    await Promise.all(Array.from({ length: AT_A_TIME }, (_, at) => open(at % 2 === 0)))
  }
  return sockets
}

test.skipIf(process.platform !== 'linux')(
  `${CONNECTIONS} of them (reads /proc, Linux only)`,
  { timeout: soak ? SOAK_MS : 30_000 },
  async () => {
    const upstream = await startUpstream()
    const { port, pid, admin } = await startTestGateway({
      config: {
        listen: { timeouts: { idle_ms: IDLE_MS, header_ms: IDLE_MS } },
        collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }],
      },
    })
    const others = new Client(port, 4)
    for (let count = 0; count < 500; count++) await others.send()
    const before = { memory: await residentBytes(pid), descriptors: await openDescriptors(pid) }
    const isOpen = async () => (await admin.status()).totals.connections_open

    const sockets = await openIdle(port)
    onEnd(() => {
      for (const socket of sockets) socket.destroy()
    })
    expect(await isOpen()).toBeGreaterThanOrEqual(CONNECTIONS)
    for (let count = 0; count < 100; count++) expect(await others.send()).toMatchObject({ status: 200 })
    const each = ((await residentBytes(pid)) - before.memory) / CONNECTIONS
    expect(each, 'bytes of one idle connection').toBeLessThan(32 * 1024)

    // Nobody but the gateway ends them.
    const within_ms = 2 * IDLE_MS + 5000
    await until(() => sockets.every(({ readableEnded, destroyed }) => readableEnded || destroyed), {
      what: 'each is closed after idle_ms, or header_ms where nothing was ever said',
      within_ms,
    })
    await until(async () => (await isOpen()) <= 4, { what: 'none is counted', within_ms })
    // The connections to the upstream stay for a minute, as it asked for.
    const areBack = async () => (await openDescriptors(pid)) <= before.descriptors + AT_A_TIME + 10
    await until(areBack, { what: 'descriptors are back' })
    const left = (await residentBytes(pid)) - before.memory
    expect(left, 'bytes that stay').toBeLessThan(60 * 1024 * 1024)
  },
)
