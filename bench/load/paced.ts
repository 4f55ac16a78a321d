/**
 * Open-loop load over raw sockets: requests leave on a schedule, whatever the answers do. A latency counts
 * from the moment at which the request was due, so that time spent waiting behind a stall counts.
 */
import { connect, type Socket } from 'node:net'
import { requestHeaders, requestPath } from '../bed/payload.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as {
  port: number
  perSecond: number
  seconds: number
  connections: number
}
const lines = Object.entries(requestHeaders).map(([name, value]) => `${name}: ${value}\r\n`)
const request = Buffer.from(`GET ${requestPath} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines.join('')}\r\n`)

const headEnd = Buffer.from('\r\n\r\n')
const idle: Socket[] = []
const due: number[] = []
const latencies: number[] = []
let failures = 0
let scheduled = 0

/** Sends the oldest request that is due, if there is one. */
function serve(socket: Socket & { since?: number }): void {
  const since = due.shift()
  if (since === undefined) {
    idle.push(socket)
    return
  }
  socket.since = since
  socket.write(request)
}

async function open(): Promise<void> {
  const socket: Socket & { since?: number } = connect({
    port: options.port,
    host: '127.0.0.1',
    noDelay: true,
  })
  let pending: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    const head = pending.indexOf(headEnd)
    if (head < 0) return
    const text = pending.toString('latin1', 0, head)
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0)
    if (pending.length < head + 4 + length) return
    pending = pending.subarray(head + 4 + length)
    if (!text.startsWith('HTTP/1.1 200')) failures += 1
    latencies.push(performance.now() - (socket.since ?? 0))
    serve(socket)
  })
  socket.on('error', () => (failures += 1))
  await new Promise((resolve) => socket.once('connect', resolve))
  idle.push(socket)
}

await Promise.all(Array.from({ length: options.connections }, open))
const start = performance.now()
const total = options.perSecond * options.seconds
await new Promise<void>((resolve) => {
  const clock = setInterval(() => {
    const now = performance.now()
    const target = Math.min(total, Math.floor(((now - start) / 1000) * options.perSecond))
    for (; scheduled < target; scheduled += 1) due.push(start + (scheduled / options.perSecond) * 1000)
    while (due.length > 0 && idle.length > 0) serve(idle.pop() as Socket)
    const late = now - start > options.seconds * 1000 + 2000
    if (!late && latencies.length < total) return
    clearInterval(clock)
    resolve()
  }, 1)
})
const seconds = (performance.now() - start) / 1000
latencies.sort((a, b) => a - b)
const quantile = (part: number): number => latencies[Math.floor(part * (latencies.length - 1))] ?? Number.NaN
process.stdout.write(
  JSON.stringify({
    requests: latencies.length,
    seconds,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    failures: failures + (total - latencies.length),
  }),
)
process.exit(0)
