/** The exchange that the micro-benches write, read and encode: a POST of 1 KB and its answer of 400 bytes. */
import { fieldLines } from '../../src/proxy/headers.ts'
import type { SealedExchange } from '../../src/queue/slab.ts'
import { answerBody, orderBody, requestHeaders, requestPath } from '../bed/payload.ts'

const now = Date.UTC(2026, 10, 21, 8)

const common: Omit<SealedExchange, 'requestBody' | 'responseBody'> = {
  id: '0192f0c1-0000-7000-8000-000000000000',
  startedAt: now,
  answeredAt: now + 7,
  durationMs: 8.1,
  upstreamMs: 7.6,
  outcome: 'complete',
  errorCode: null,
  collection: 'orders',
  upstream: 'http://127.0.0.1:3000',
  clientIp: '127.0.0.1',
  clientPort: 51_234,
  scheme: 'http',
  method: 'POST',
  host: '127.0.0.1:8080',
  target: requestPath,
  requestVersion: '1.1',
  requestLines: fieldLines([
    ...Object.entries({ Host: '127.0.0.1:8080', ...requestHeaders }).flat(),
    ...['content-type', 'application/json', 'content-length', String(orderBody.length)],
  ]),
  requestTrailers: '',
  status: 200,
  responseVersion: '1.1',
  responseLines: fieldLines([
    ...['Server', 'nginx/1.22.1', 'Date', 'Sat, 21 Nov 2026 08:00:00 GMT'],
    ...['Content-Type', 'application/json', 'Content-Length', String(answerBody.length)],
  ]),
  responseTrailers: '',
  mirrors: [0],
}

const requestBytes = Buffer.from(orderBody)
const responseBytes = Buffer.from(answerBody)

const kept = (bytes: Buffer) => ({ pieces: [bytes], kept: bytes.length, size: bytes.length, limited: false })

export const sealed: SealedExchange = {
  ...common,
  requestBody: kept(requestBytes),
  responseBody: kept(responseBytes),
}
