/** Two thousand clients that leave in the middle: descriptors and memory go back to where they were. */
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { openDescriptors, residentBytes } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { startBed } from './bed.ts'

const CLIENTS = 2000
const AT_A_TIME = 100

const resources = async (pid: number) => ({
  descriptors: await openDescriptors(pid),
  rss: await residentBytes(pid),
})

/** Leaves before, while and after it sends, and while it reads. */
const requests = [
  '',
  'POST /orders HTTP/1.1\r\nHost: a\r\nContent-Le',
  'POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc',
  'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /large HTTP/1.1\r\nHost: a\r\n\r\n',
] as const

function abort(port: number, request: string, reset: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.once('close', () => resolve())
    socket.once('connect', () => {
      const leave = () => (reset ? socket.resetAndDestroy() : socket.destroy())
      if (request === '') return leave()
      socket.write(request, leave)
      if (request.startsWith('GET /large')) socket.once('data', leave)
    })
  })
}

test.skipIf(process.platform !== 'linux')(
  '2,000 of them cost nothing that lasts, and the others are answered (reads /proc, Linux only)',
  async () => {
    const bed = await startBed()
    const large = Buffer.alloc(300_000, 0x61)
    bed.upstream.handler = (request, response) => {
      request.on('error', () => {})
      if (request.url === '/slow') return
      if (request.url === '/large') return void response.end(large)
      request.resume().on('end', () => response.end('{"ok":true}'))
    }
    const round = async (count: number) => {
      for (let done = 0; done < count; done += AT_A_TIME) {
        const leaving = Array.from({ length: AT_A_TIME }, (_, at) =>
          abort(bed.gateway.port, requests[at % requests.length] ?? '', at % 2 === 0),
        )
        await Promise.all(leaving)
      }
    }
    // The first ones make what stays anyway: pools, buffers, compiled code.
    await round(200)
    await bed.send(50)
    const quiet = async () => {
      const { totals } = await bed.gateway.admin.status()
      return totals.connections_open <= 8 && (await bed.view()).counts.waiting === 0
    }
    await until(quiet, { what: 'the first ones are forgotten' })
    const before = await resources(bed.gateway.pid)

    await Promise.all([round(CLIENTS), bed.send(300)])
    await until(quiet, { what: 'all of them are forgotten' })
    // Connections to the upstream that nobody uses any more stay for seconds.
    await until(async () => (await resources(bed.gateway.pid)).descriptors <= before.descriptors + 10, {
      what: `descriptors are back to ${before.descriptors}`,
      within_ms: 30_000,
    })
    const after = await resources(bed.gateway.pid)
    expect(after.rss - before.rss, 'bytes of memory that stay').toBeLessThan(60_000_000)
    const view = await bed.sees('everything is delivered', ({ counts }) => counts.waiting === 0)
    expect(view.counts.dropped).toEqual({})
    expect(view.counts.captured).toBe(2 * bed.collector.pairs)
  },
  60_000,
)
