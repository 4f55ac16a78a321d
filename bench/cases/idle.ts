/** Idle: memory of the gateway per connection that has been used once and then says nothing. */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Bed } from '../harness/bed.ts'
import { cpuOf, memoryOf } from '../harness/procfs.ts'
import { startGateway } from './gateway.ts'

export interface IdleResult {
  readonly connections: number
  readonly beforeMiB: number
  readonly openMiB: number
  /** CPU of the gateway while nobody says anything, share of one core. */
  readonly busy: number
  /** After all of them were closed. */
  readonly afterMiB: number
}

const AT_A_TIME = 100
const REST_MS = 3000
/** Requests before the first look: what they need is there then, whoever else connects. */
const WARM_REQUESTS = 1000
const get = 'GET /orders HTTP/1.1\r\nHost: bench\r\n\r\n'

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  await ask(socket)
  return socket
}

async function ask(socket: Socket): Promise<void> {
  socket.write(get)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  if (!answer.toString('latin1').startsWith('HTTP/1.1 200 ')) throw new Error('a request was not answered')
}

export async function idle(bed: Bed, connections: number): Promise<IdleResult> {
  const folder = `${bed.folder}/idle`
  mkdirSync(folder)
  const target = await startGateway(bed, folder, { name: 'idle', mirror: null, away: false })
  const { pid } = target.child
  const sockets = await Promise.all(Array.from({ length: AT_A_TIME }, () => open(target.port)))
  for (let sent = 0; sent < WARM_REQUESTS; sent += AT_A_TIME) await Promise.all(sockets.map(ask))
  await wait(REST_MS)
  const beforeMiB = memoryOf(pid).now
  while (sockets.length < connections + AT_A_TIME) {
    sockets.push(...(await Promise.all(Array.from({ length: AT_A_TIME }, () => open(target.port)))))
  }
  await wait(REST_MS)
  const openMiB = memoryOf(pid).now
  const cpu = cpuOf(pid).total
  await wait(REST_MS)
  const busy = (cpuOf(pid).total - cpu) / (REST_MS * 1000)
  for (const socket of sockets) socket.destroy()
  await wait(REST_MS)
  const afterMiB = memoryOf(pid).now
  await target.child.stop()
  return { connections, beforeMiB, openMiB, busy, afterMiB }
}
