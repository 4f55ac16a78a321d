/** An answer that breaks off, at whatever byte, becomes an error or is seen to be cut; it never hangs. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { RawClient, type RawResponse } from '../support/client.ts'
import { startThread } from '../support/data-thread.ts'
import { startRawUpstream } from '../support/upstream.ts'

const LANES = 16

const answers = {
  chunks:
    'HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n' +
    '5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 9\r\n\r\n',
  'a length': 'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: b\r\n\r\nhello world',
  'an interim answer': 'HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n',
} as const

const ends: Readonly<Record<string, (socket: Socket) => void>> = {
  end: (socket) => socket.end(),
  reset: (socket) => socket.resetAndDestroy(),
}

/** `/how/pieces/N`: the first N bytes of the answer, in so many pieces, and then the end. */
function aborting(answer: string): (socket: Socket) => void {
  return (socket) => {
    socket.once('data', (request) => {
      const [, how = '', pieces, count] = (request.toString('latin1').split(' ')[1] as string).split('/')
      const bytes = answer.slice(0, Number(count))
      const half = pieces === '2' ? bytes.length >> 1 : bytes.length
      socket.write(bytes.slice(0, half))
      setImmediate(() => {
        socket.write(bytes.slice(half), () => ends[how]?.(socket))
      })
    })
  }
}

function judge(answer: RawResponse | null, whole: boolean): string {
  // Ended before, or within, its head: the interim answer of one that then broke off may be all there is.
  if (answer === null) return whole ? 'cut off in the head' : 'fine'
  if (answer.status === 502) {
    const { error } = JSON.parse(answer.body.toString()) as { error: string }
    return whole || !/^upstream_(reset|protocol_error)$/.test(error) ? `told ${error}` : 'fine'
  }
  return answer.complete === whole ? 'fine' : `complete: ${answer.complete}`
}

test.each(Object.entries(answers))('of %s', { timeout: 30_000 }, async (_name, bytes) => {
  const upstream = await startRawUpstream(aborting(bytes))
  const thread = await startThread(upstream, {
    mirrors: [{ name: 'm' }],
    collection: { name: 'api', upstreams: [{ url: upstream.url }], mirrors: ['m'], retry: { attempts: 0 } },
  })
  const paths = Object.keys(ends).flatMap((how) =>
    ['1', '2'].flatMap((pieces) =>
      Array.from({ length: bytes.length + 1 }, (_, count) => `/${how}/${pieces}/${count}`),
    ),
  )
  const wrong: string[] = []
  let next = 0
  const lane = async () => {
    for (let path = paths[next++]; path !== undefined; path = paths[next++]) {
      const client = await RawClient.connect(thread.port)
      client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
      const answer = await client.response().catch((error: Error) => {
        if (/nothing within/.test(error.message)) throw error
        return null
      })
      // A reset may overtake the last bytes: the whole answer then counts as cut.
      const whole = path.endsWith(`/${bytes.length}`)
      const verdict = judge(answer, whole)
      if (verdict !== 'fine' && !(whole && path.startsWith('/reset'))) wrong.push(`${path}: ${verdict}`)
      client.destroy()
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  expect(wrong).toEqual([])
  expect(thread.warnings).toEqual([])
  await thread.quiet()
  expect((await thread.exchanges(paths.length)).length).toBe(paths.length)
})

test('an answer to HTTP/1.0 that breaks off in its chunks ends with a reset, wherever', async () => {
  const answer = answers.chunks
  const from = answer.indexOf('hello') + 1
  const upstream = await startRawUpstream(aborting(answer))
  const thread = await startThread(upstream)
  for (let count = from; count < answer.length; count++) {
    const client = await RawClient.connect(thread.port)
    const ended = new Promise<string>((resolve) => {
      client.socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
      client.socket.once('end', () => resolve('an orderly end'))
    })
    client.send(`GET /end/2/${count} HTTP/1.0\r\n\r\n`)
    const how = await ended
    if (!client.received.includes(' 502 ')) expect([count, how]).toEqual([count, 'ECONNRESET'])
  }
})
