/** An HTTPS service for fakes of secrets managers: what it was asked, and how it misbehaves on demand. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Behaviour, Delivery } from '../../conformance/collector.ts'

const file = (name: string) => new URL(`tls/${name}`, import.meta.url).pathname

/** The authority behind the certificate of every fake, which is for 127.0.0.1. */
export const caFile = file('ca.pem')

export interface Asked {
  readonly method: string
  readonly url: URL
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  readonly bytes: Buffer
}

/** What a service answers: a JSON value, or bytes as they are. */
export interface Reply {
  readonly status: number
  readonly body?: unknown
  readonly headers?: http.OutgoingHttpHeaders
}

export interface Service {
  readonly url: string
  /** Every request so far. */
  readonly asked: Asked[]
  /** What every request gets instead of its answer; null = the service answers again. */
  behave(behaviour: Behaviour | null): void
  /** Once more is fine. */
  close(): Promise<void>
}

export async function startService(answer: (asked: Asked) => Reply | Promise<Reply>): Promise<Service> {
  const asked: Asked[] = []
  let behaviour: Behaviour | null = null
  let closed: Promise<unknown> | null = null
  const identity = { key: readFileSync(file('server-key.pem')), cert: readFileSync(file('server.pem')) }
  const server = https.createServer(identity, async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', headers, rawHeaders, url: path = '/' } = request
    const body = Buffer.concat(chunks)
    const one = { method, headers, url: new URL(path, url), body: body.toString(), bytes: body }
    asked.push(one)
    const delivery: Delivery = { path, headers, rawHeaders, body }
    if (behaviour !== null) return behaviour(response, delivery)
    write(response, await answer(one))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    asked,
    behave(next) {
      behaviour = next
    },
    async close() {
      closed ??= once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function write(response: http.ServerResponse, { status, body, headers = {} }: Reply): void {
  const raw = Buffer.isBuffer(body)
  const type = { 'content-type': raw ? 'application/octet-stream' : 'application/json', ...headers }
  response.writeHead(status, type).end(raw ? body : body === undefined ? '' : JSON.stringify(body))
}
