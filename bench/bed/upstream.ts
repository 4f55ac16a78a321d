/** Upstream for machines without nginx: answers every request with the same 400 bytes. Prints its port. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerBody } from './payload.ts'

const server = createServer({ keepAliveTimeout: 3_600_000, requestTimeout: 0 }, (request, response) => {
  request.resume()
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': answerBody.length })
  response.end(answerBody)
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`)
})
