/** What a client is told of a search of the activity log that cannot go on; it ends with its client. */
import { connect } from 'node:net'
import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { activityLogs } from '../../src/admin/activity-logs.ts'
import type { AdminApp, AdminContext } from '../../src/admin/app.ts'
import { answerError } from '../../src/admin/errors.ts'
import { SearchBusyError, SearchTooLongError } from '../../src/contract/errors.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { onEnd } from '../support/cleanup.ts'

type Search = (signal: AbortSignal) => Promise<never>

/** The routes of the log over a search of the test's own; its port. */
async function serve(search: Search): Promise<number> {
  const app = Fastify()
  onEnd(() => app.close())
  const log = createLog({ level: 'silent', format: 'json' })
  app.setErrorHandler(answerError(log))
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => JSON.stringify)
  app.decorateRequest('signedIn', null)
  app.addHook('onRequest', async (request) => {
    request.signedIn = { id: 1, name: 'ops', environment: 'dev' } as typeof request.signedIn
  })
  const asked = (_query: unknown, signal: AbortSignal) => search(signal)
  async function* entries(_filter: unknown, signal: AbortSignal) {
    yield await search(signal)
  }
  const activity = { page: asked, stats: asked, entries }
  const context = { activity, trail: { record: async () => {} }, log }
  activityLogs(app as unknown as AdminApp, context as unknown as AdminContext)
  return Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
}

const paths = ['/api/activity_logs?q=nowhere', '/api/activity_logs/stats?q=nowhere']

const exportPath = '/api/activity_logs/export?format=csv&q=nowhere'

test.each([...paths, exportPath])('%s ends with its client', async (path) => {
  const started = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<unknown>()
  const port = await serve((signal) => {
    started.resolve()
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        ended.resolve(signal.reason)
        reject(signal.reason)
      })
    })
  })
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: gateway\r\n\r\n`)
  await started.promise
  socket.destroy()
  expect(await ended.promise).toMatchObject({ status: 499, message: 'the client went away' })
})

test.each(paths)('%s is told when to come back, and what took too long', async (path) => {
  const errors = [new SearchBusyError('two are running'), new SearchTooLongError('narrow it')]
  const port = await serve(() => Promise.reject(errors.shift()))
  const ask = async () => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return [answer.status, answer.headers.get('retry-after'), await answer.json()]
  }
  expect(await ask()).toEqual([429, '5', { message: 'two are running', errors: {} }])
  expect(await ask()).toEqual([422, null, { message: 'narrow it', errors: {} }])
})
