/** Clients that leave at every byte of an exchange: nothing hangs, nothing stays, nothing is mixed up. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { until } from '../support/wait.ts'
import { type Arrival, Bed, Wire } from './bed.ts'
import { readRequests } from './request-judge.ts'

const LANES = 8

const exchanges = {
  'a request without a body': 'GET /a HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n',
  'a length': 'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  chunks:
    'POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n' +
    '2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: u\r\n\r\n',
  'two requests':
    'PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: a\r\n\r\n',
} as const

const leavings: readonly ((socket: Socket) => void)[] = [
  (socket) => socket.end(),
  (socket) => socket.destroy(),
  (socket) => socket.resetAndDestroy(),
]

const answer = ({ serial }: Arrival) =>
  `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Serial: ${serial}\r\n\r\nwhole`

async function inLanes(jobs: (() => Promise<void>)[]): Promise<void> {
  const lane = async () => {
    for (let job = jobs.pop(); job !== undefined; job = jobs.pop()) await job()
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

test.each(Object.entries(exchanges))('a client that leaves within %s', async (_name, bytes) => {
  const bed = await Bed.start()
  bed.script = (arrival, socket) => socket.write(answer(arrival))
  const whole = readRequests(bytes)
  const jobs = leavings.flatMap((leave) =>
    Array.from({ length: bytes.length + 1 }, (_, count) => async () => {
      const wire = await Wire.open(bed.gateway.port)
      await wire.send([bytes.slice(0, count)])
      leave(wire.socket)
      await wire.reach(() => false)
      expect([count, wire.ended]).not.toEqual([count, 'no'])
      wire.socket.destroy()
    }),
  )
  await inLanes(jobs)
  await bed.settle(true)
  expect(bed.wrong).toEqual([])
  // What arrived whole is one of the requests, and what arrived in part is the beginning of one.
  const bodies = new Map(whole.map(({ method, body }) => [method, body]))
  for (const { request } of bed.arrivals) expect(request.body).toBe(bodies.get(request.method))
  for (const { method, body } of bed.partials) expect(bodies.get(method)?.startsWith(body)).toBe(true)
  expect(bed.arrivals.length).toBeGreaterThan(0)
  expect(await bed.finish()).toEqual([])
})

test('a client that leaves within its answer takes its upstream connection with it', async () => {
  const bed = await Bed.start()
  const text =
    'HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n' +
    '5\r\nhello\r\n1;x\r\n!\r\n0\r\nX-T: u\r\n\r\n'
  const sockets = new Map<string, Socket>()
  bed.script = ({ request }, socket) => {
    sockets.set(request.target, socket)
    socket.write(text.slice(0, Number(request.target.split('/')[2])))
  }
  const jobs = leavings.slice(1).flatMap((leave, how) =>
    Array.from({ length: text.length }, (_, count) => async () => {
      const path = `/${how}/${count}`
      const wire = await Wire.open(bed.gateway.port)
      await wire.send([`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`])
      await until(() => sockets.has(path), { what: `${path} arrives`, every_ms: 1 })
      if (count > text.indexOf('\r\n\r\n') + 3) await wire.reach((got) => got.includes('\r\n\r\n'))
      leave(wire.socket)
      await until(() => sockets.get(path)?.destroyed === true || sockets.get(path)?.readableEnded === true, {
        ...{ what: `the upstream connection of ${path} is closed`, every_ms: 2 },
      })
    }),
  )
  await inLanes(jobs)
  expect(sockets.size).toBe(2 * text.length)
  await bed.settle(true)
  expect(bed.wrong).toEqual([])
  expect(await bed.finish()).toEqual([])
})
