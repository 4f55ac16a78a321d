/** TLS towards a collector: who is trusted, which name is asked for, who we are. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { target } from './target.ts'

const file = (name: string) => new URL(`tls/${name}`, import.meta.url).pathname
const never = new AbortController().signal

let server: https.Server
let url: string
let seen: { name: string | false | null; client: string | undefined; protocol: string | false | null }[]

beforeEach(async () => {
  seen = []
  server = https.createServer(
    {
      key: readFileSync(file('server-key.pem')),
      cert: readFileSync(file('server.pem')),
      ca: readFileSync(file('ca.pem')),
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2', 'http/1.1'],
    },
    (request, response) => {
      const socket = request.socket as TLSSocket & { servername: string | false }
      const subject = socket.authorized ? socket.getPeerCertificate().subject?.CN : undefined
      const client = Array.isArray(subject) ? subject[0] : subject
      seen.push({ name: socket.servername, client, protocol: socket.alpnProtocol })
      response.end('ok')
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/in`
})
afterEach(async () => {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
})

type Tls = Partial<NonNullable<ReturnType<typeof target>['connection']['tls']>>

async function post(tls: Tls | null, headers: Record<string, string> = {}, proxyUrl: string | null = null) {
  const connection = { tls: tls === null ? null : { verify: true, ...tls }, headers, proxyUrl }
  const { http: client, close } = createSinkHttp(target({}, connection))
  try {
    return await client.post(url, { body: Buffer.from('[]') }, never)
  } finally {
    await close()
  }
}

test('a certificate of an unknown authority is not accepted', async () => {
  await expect(post(null)).rejects.toMatchObject({
    kind: 'retry',
    network: true,
    message: expect.stringMatching(/its certificate/),
  })
  expect(seen).toEqual([])
})

test('a certificate for another name is not accepted', async () => {
  const failed = post({ ca_file: file('ca.pem') })
  await expect(failed).rejects.toMatchObject({
    message: expect.stringMatching(/its certificate is for another name$/),
  })
  expect(seen).toEqual([])
})

test('ca_file and server_name make it trusted; a Host header does not change the name', async () => {
  await post({ ca_file: file('ca.pem'), server_name: 'collector.test' }, { Host: 'other.test' })
  expect(seen).toEqual([{ name: 'collector.test', client: undefined, protocol: 'http/1.1' }])
})

test('a client certificate is presented', async () => {
  await post({
    ca_file: file('ca.pem'),
    server_name: 'collector.test',
    cert_file: file('client.pem'),
    key_file: file('client-key.pem'),
  })
  expect(seen).toMatchObject([{ client: 'client' }])
})

test('verify: false accepts anyone', async () => {
  await post({ verify: false })
  expect(seen).toHaveLength(1)
})

test('through a proxy, in a tunnel: the proxy sees no header of the connection', async () => {
  const asked: http.IncomingMessage[] = []
  const proxy = http.createServer()
  proxy.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
    asked.push(request)
    const [host = '', port = ''] = (request.url ?? '').split(':')
    const onward = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    socket.on('error', () => onward.destroy()).on('close', () => onward.destroy())
    onward.on('error', () => socket.destroy())
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo
  const tls = { ca_file: file('ca.pem'), server_name: 'collector.test' }
  await post(tls, { authorization: 'Bearer secret' }, `http://user:pass@127.0.0.1:${port}`)
  expect(seen).toEqual([{ name: 'collector.test', client: undefined, protocol: 'http/1.1' }])
  expect(asked.map(({ url: authority }) => authority)).toEqual([new URL(url).host])
  expect(asked[0]?.headers).toMatchObject({ 'proxy-authorization': 'Basic dXNlcjpwYXNz' })
  expect(asked[0]?.headers).not.toHaveProperty('authorization')
  proxy.close()
  await once(proxy, 'close')
})
