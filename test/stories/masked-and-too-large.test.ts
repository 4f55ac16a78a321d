/** Jobs with data that nobody may see, and one larger than destinations take, in the forms that they want. */
import { expect, test } from 'vitest'
import { startTestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { arrived, happen, stream, streamed, streamsConfig } from '../support/streams.ts'

const SECRET = 'canary-input-8d11'
const MIB = 1024 * 1024

const job = (id: string, input: unknown) => ({
  ...{ id, user_id: 12, recipe_id: 7, status: 'succeeded', time_executed: '2026-11-21T08:00:00Z' },
  lines: [
    {
      input,
      output: { card: SECRET },
      adapter_name: 'timer',
      adapter_operation: 'trigger_event',
      line_stat: {
        details: [{ name: 'execution_time', average: 0.002, total: 0.002, min: 0.002, max: 0.002, count: 1 }],
        total: 0.002,
      },
      recipe_line_number: 1,
    },
  ],
})

const datadog = JSON.stringify({
  ddsource: 'mirrorgate',
  ddtags: 'env:{{{environment}}},stream:{{{name}}}',
  service: 'audit',
  message: 'LOG',
}).replace('"LOG"', '{{{log_message}}}')

test('masked, shortened above 40 MB and wrapped for Datadog: each stream sends its own form', async () => {
  const receiver = await startReceiver()
  const jobs = { events: ['job_details'], match: {} }
  const streams = [
    stream('masked', { ...jobs, mask_data: true }),
    stream('whole', jobs),
    stream('wrapped', {
      ...{ events: ['activity', 'job_details'], match: { event_types: ['thing_done', 'job_details'] } },
      ...{ message: datadog, mask_data: true },
    }),
  ]
  const gateway = await startTestGateway({ config: streamsConfig(receiver.url, streams) })
  const small = job('j-1', { card: SECRET })
  const large = job('j-2', 'x'.repeat(41 * MIB))
  for (const body of [small, large, job('j-3', null)]) await gateway.admin.json('POST', '/api/events', body)
  await happen(gateway, 1)

  const whole = await arrived(receiver, 'whole', 3)
  expect(whole).toEqual([small, { ...large, lines: 'Log lines exceed size limit' }, job('j-3', null)])

  const masked = { data: 'masked' }
  const maskedJob = (id: string) => {
    const { lines, ...context } = job(id, masked)
    return { ...context, lines: lines.map((line) => ({ ...line, output: masked, mask_data: true })) }
  }
  // What is masked is no longer too large.
  expect(await arrived(receiver, 'masked', 3)).toEqual(['j-1', 'j-2', 'j-3'].map(maskedJob))

  const wrapped = await arrived(receiver, 'wrapped', 4)
  for (const event of wrapped) {
    expect(event).toMatchObject({ ddsource: 'mirrorgate', service: 'audit' })
    expect(event['ddtags']).toBe('env:dev,stream:wrapped')
  }
  const messages = wrapped.map(({ message }) => message as { id?: unknown; event_type?: string })
  expect(messages.filter(({ event_type }) => event_type === undefined)).toEqual(
    ['j-1', 'j-2', 'j-3'].map(maskedJob),
  )
  expect(messages.filter(({ event_type }) => event_type === 'thing_done')).toHaveLength(1)
  const hidden = receiver.batches.filter(({ path }) => path !== '/whole').map(({ text }) => text)
  expect(hidden.filter((text) => text.includes(SECRET))).toEqual([])
  for (const [name, events] of Object.entries({ masked: 3, whole: 3, wrapped: 4 }))
    await streamed(gateway, name, events)
})
