/** A request reaches the upstream, and its answer the client, as they were sent. */
import { expect, test } from 'vitest'
import { RawClient, valuesOf } from '../support/client.ts'
import { startThread } from '../support/data-thread.ts'
import { startUpstream } from '../support/upstream.ts'

const fields = ['X-Custom-CASE', 'a', 'x-custom-case', 'b', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']

test('a request and its answer pass with their bytes, and are captured as a pair', async () => {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => {
      response.sendDate = false
      response.writeHead(201, 'Made', fields)
      response.end('answer')
    })
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'salt' }] })
  const client = await RawClient.connect(thread.port)
  const answer = await client.request(
    'POST /orders?page=2 HTTP/1.1\r\nHost: Example.com\r\nX-Thing: One\r\nx-thing: two\r\n' +
      'Content-Length: 5\r\n\r\nhello',
  )
  expect(answer.status).toBe(201)
  expect(answer.reason).toBe('Made')
  expect(answer.body.toString()).toBe('answer')
  expect(answer.rawHeaders.slice(0, 8)).toEqual(fields)
  const [got] = upstream.received
  expect(got?.method).toBe('POST')
  expect(got?.url).toBe('/orders?page=2')
  expect(got?.body?.toString()).toBe('hello')
  expect(got?.headers.host).toBe('Example.com')
  expect(valuesOf(got?.rawHeaders ?? [], 'x-thing')).toEqual(['One', 'two'])
  expect(got?.rawHeaders).toContain('X-Thing')
  const [exchange] = await thread.exchanges(1)
  expect(exchange).toMatchObject({
    method: 'POST',
    host: 'Example.com',
    target: '/orders?page=2',
    status: 201,
    outcome: 'complete',
    collection: 'api',
    upstream: upstream.url,
    clientIp: '127.0.0.1',
    requestVersion: '1.1',
    scheme: 'http',
  })
  expect(exchange?.requestBody).toMatchObject({ text: 'hello', size: 5, limited: false })
  expect(exchange?.responseBody).toMatchObject({ text: 'answer', size: 6, limited: false })
  expect(exchange?.requestHeaders).toEqual(
    'Host Example.com X-Thing One x-thing two Content-Length 5'.split(' '),
  )
  expect(valuesOf(got?.rawHeaders ?? [], 'x-request-id')).toEqual([exchange?.id])
  expect(thread.warnings).toEqual([])
})
