/** http-proxy-3 forwarding to the port in its first argument. Prints its own port. */
import { Agent, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createProxyServer } from 'http-proxy-3'

const target = `http://127.0.0.1:${process.argv[2]}`
const proxy = createProxyServer({ target, agent: new Agent({ keepAlive: true, maxSockets: 256 }) })
proxy.on('error', () => {
  // a client or upstream that goes away at the end of a round
})
const server = createServer({ keepAliveTimeout: 3_600_000 }, (request, response) =>
  proxy.web(request, response),
)
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`)
})
