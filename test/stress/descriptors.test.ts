/** Too few descriptors: clients above what they are enough for are refused, and everybody else is served. */
import { execFileSync } from 'node:child_process'
import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { startBed } from '../faults/bed.ts'
import { RawClient } from '../support/client.ts'
import { cpuMs, openDescriptors } from '../support/process.ts'
import { until } from '../support/wait.ts'

const DESCRIPTORS = 300
/** How long a gateway that can accept nobody is looked at. */
const WINDOW_MS = 500
const program = fileURLToPath(new URL('./fixtures/few-descriptors.ts', import.meta.url))
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

/** Clients that are told to go away first, or that are let in. */
async function dial(port: number, count: number) {
  const taken: RawClient[] = []
  const refused: RawClient[] = []
  for (let done = 0; done < count; done++) {
    const client = await RawClient.connect(port)
    const { status } = await client.request(get('/first'))
    if (status !== 200) await client.closed
    ;(status === 200 ? taken : refused).push(client)
  }
  return { taken, refused }
}

describe.skipIf(process.platform !== 'linux')('reads /proc, Linux only', () => {
  test('fewer than connections need: the rest is refused, those inside are served all at once', async () => {
    const bed = await startBed({}, { program, env: { DESCRIPTORS: String(DESCRIPTORS) } })
    const { port, pid, admin } = bed.gateway
    const told = bed.gateway.logs().filter(({ problem }) => String(problem).includes('descriptors'))
    expect(told).toHaveLength(1)
    const most = Number(/enough for (\d+) connections/.exec(String(told[0]?.['problem']))?.[1])
    expect(most).toBeGreaterThan(50)
    expect(most).toBeLessThan(DESCRIPTORS / 2)

    const before = await openDescriptors(pid)
    const { taken, refused } = await dial(port, most + 20)
    expect([taken.length, refused.length]).toEqual([most, 20])
    for (const client of refused) expect(client.received.toString()).toContain('"error":"overloaded"')
    expect((await admin.metrics()).sum('http_rejected_total', { reason: 'overloaded' })).toBe(20)

    const open: ServerResponse[] = []
    bed.upstream.handler = (_request, response) => void open.push(response)
    for (const client of taken) client.send(get('/together'))
    await until(() => open.length === most, { what: 'each has a connection to the upstream' })
    expect((await admin.call('GET', '/readyz')).status).toBe(200)
    for (const response of open) response.end('{"ok":true}')
    for (const client of taken) expect(await client.response()).toMatchObject({ status: 200 })
    for (const client of taken) client.destroy()
    bed.upstream.handler = (_request, response) => void response.end('{"ok":true}')

    await until(async () => (await dial(port, 1)).taken.length === 1, { what: 'the next one is let in' })
    // Connections to the upstream stay for a minute, as it asked for.
    const areBack = async () => (await openDescriptors(pid)) < before + most + 20
    await until(areBack, { what: 'descriptors of clients are back' })
    await bed.sees('all is delivered', ({ counts }) => counts.waiting === 0 && counts.delivered > 4 * most)
    expect((await bed.view()).counts.dropped).toEqual({})
  })

  test('none at all: what is under way goes on, and clients are let in once there are some', async () => {
    const bed = await startBed()
    const { port, pid } = bed.gateway
    let slow: ServerResponse | null = null
    bed.upstream.handler = (_request, response) => {
      slow = response
    }
    const inside = await RawClient.connect(port)
    inside.send(get('/slow'))
    await until(() => slow, { what: 'the request' })
    bed.upstream.handler = (_request, response) => void response.end('{"ok":true}')

    const limit = (descriptors: number) =>
      execFileSync('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:`])
    const lines = bed.gateway.logs().length
    limit((await openDescriptors(pid)) + 5)
    const outside = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)))
    // A few have taken what was left.
    const isClosed = () => outside.filter(({ ended }) => ended).length > 90
    await until(isClosed, { what: 'those outside are closed' })
    const busy = await cpuMs(pid)
    await delay(WINDOW_MS)
    expect((await cpuMs(pid)) - busy, 'a thread that spins').toBeLessThan(WINDOW_MS * 0.8)
    ;(slow as ServerResponse | null)?.end('{"ok":true}')
    expect(await inside.response()).toMatchObject({ status: 200 })
    // Its recorder has not been at work before: what it would load cannot be opened.
    const isLost = () => bed.gateway.logs().some(({ msg }) => msg === 'items lost with a recorder thread')
    await until(isLost, { what: 'the capture is lost' })
    expect(bed.gateway.logs().length - lines).toBeLessThan(10)

    limit(4096)
    await bed.send(20)
    const view = await bed.sees(
      'captures go on',
      ({ counts }) => counts.waiting === 0 && counts.captured >= 42,
    )
    expect([view.counts.delivered, view.counts.dropped]).toEqual([40, { worker_crash: 2 }])
    for (const client of [inside, ...outside]) client.destroy()
    expect((await dial(port, 1)).taken).toHaveLength(1)
  })
})
