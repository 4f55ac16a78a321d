/**
 * Reading that was stopped amid decrypted records: TLS reports the rest of them all the same, the end of the
 * answer too, and the connection must read again for whoever has it next.
 */
import { readFile } from 'node:fs/promises'
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:tls'
import { expect, test } from 'vitest'
import { type Answered, Attempt, type FailureKind } from '../../src/proxy/forward.ts'
import { Upstream } from '../../src/proxy/upstream-pool.ts'
import type { ForwardRequest } from '../../src/proxy/upstream-request.ts'
import { readTls } from '../../src/proxy/upstream-tls.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import { onEnd } from '../support/cleanup.ts'
import { until } from '../support/wait.ts'

const file = (name: string) => new URL(`../conformance/tls/${name}`, import.meta.url).pathname

/** The smallest that a record may be cut to. */
const RECORD_BYTES = 512
const body = 'in records '.repeat(200)
const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`

/** Answers each request in several records that go out in one write, so that one read takes them all. */
async function startRecords() {
  const [key, cert] = await Promise.all([readFile(file('server-key.pem')), readFile(file('server.pem'))])
  const sockets: Socket[] = []
  const server = createServer({ key, cert }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.setMaxSendFragment(RECORD_BYTES)
    socket.on('data', () => socket.write(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onEnd(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, sockets }
}

function upstreamAt(port: number): Upstream {
  const bounds = { headerBytes: 4096, headerCount: 100 }
  const tls = readTls({ ca_file: file('ca.pem'), server_name: 'collector.test', verify: true })
  const upstream = new Upstream(
    {
      ...{ url: `https://127.0.0.1:${port}`, slot: 0, weight: 1, connections: 1, pending: 1 },
      ...{ ...bounds, connectMs: 5000, tls },
    },
    { counters: new Counters(), warn: (_kind, error) => expect.unreachable(String(error)) },
  )
  onEnd(() => upstream.close())
  return upstream
}

/** Somebody with an answer that goes on slowly: wants no more after the first piece of it. */
class Slow implements Answered {
  text = ''
  /** Pieces that came although no more was wanted. */
  unwanted = 0
  ended: 'no' | 'whole' | FailureKind = 'no'
  #stopped = false

  onRequestSent(): void {}
  onInterim(): void {}
  onAnswerHead(): void {}
  onAnswerRead(): void {}
  onUploadWanted(): void {}
  onUploadPaused(): void {}

  onAnswerData(chunk: Buffer): boolean {
    this.text += chunk.toString('latin1')
    if (this.#stopped) this.unwanted += 1
    this.#stopped = true
    return false
  }

  onAnswerEnd(): void {
    this.ended = 'whole'
  }

  onFailure(kind: FailureKind): void {
    this.ended = kind
  }
}

const request: ForwardRequest = {
  ...{ method: 'GET', path: '/', lines: 'Host: a\r\n', hostAt: 0, ownHost: false, expectAt: -1 },
  ...{ hasBody: false, chunked: false, trailer: '' },
}

test('a connection whose reading was stopped amid records reads the next answer', async () => {
  const { port, sockets } = await startRecords()
  const upstream = upstreamAt(port)
  for (let round = 0; round < 3; round++) {
    const slow = new Slow()
    expect(upstream.take(new Attempt(upstream, request, slow, false))).toBe(true)
    await until(() => slow.ended !== 'no', { what: `answer ${round} ends`, within_ms: 5000 })
    expect([slow.ended, slow.text]).toEqual(['whole', body])
    expect(slow.unwanted).toBe(Math.ceil(answer.length / RECORD_BYTES) - 1)
  }
  expect(sockets).toHaveLength(1)
})
