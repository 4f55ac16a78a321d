/** Masked data, and events that are too large: what goes, and that everything else stays as it was. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { renderEvents } from '../../src/render/events.ts'
import { oversizeText, withinSize } from '../../src/render/size.ts'
import { lines, plan } from './plan.ts'

const SECRET = 'sEcReT-71'
const masked = { data: 'masked' }
const line_stat = { details: [{ name: 'execution_time', total: 0.002 }], total: 0.002 }

const job = {
  id: 'j-1',
  status: 'succeeded',
  context: { user_id: 1, input: 'kept: not the input of a line' },
  lines: [
    {
      input: { card: SECRET, list: [SECRET, '}', '"'] },
      output: SECRET,
      adapter_name: 'timer',
      line_stat,
      recipe_line_number: 1,
    },
    { recipe_line_number: 2, output: null, mask_data: false, input: [] },
    { recipe_line_number: 3 },
  ],
}

test('inputs and outputs of each line are masked as printed', () => {
  const [line] = lines([job], { maskData: true })
  expect(line).not.toContain(SECRET)
  expect(JSON.parse(line as string)).toEqual({
    ...job,
    lines: [
      {
        input: masked,
        output: masked,
        adapter_name: 'timer',
        line_stat,
        recipe_line_number: 1,
        mask_data: true,
      },
      { recipe_line_number: 2, output: masked, mask_data: true, input: masked },
      { recipe_line_number: 3 },
    ],
  })
  expect(line).toContain('"recipe_line_number":1,"mask_data":true}')
})

test('bodies of exchanges are masked, their heads are not', () => {
  const exchange = {
    id: 'x',
    request: { method: 'POST', path: '/a', body: `{"a":"${SECRET}"}`, body_encoding: 'utf8', body_bytes: 9 },
    response: { status: 204, body: null, body_encoding: 'none', body_bytes: 0 },
  }
  expect(lines([exchange], { maskData: true }).map((line) => JSON.parse(line))).toEqual([
    {
      ...exchange,
      request: { ...exchange.request, body: masked, body_encoding: 'none', mask_data: true },
    },
  ])
  const flat = { path: '/a', request_body: SECRET, response_body: { a: SECRET } }
  expect(JSON.parse(lines([flat], { maskData: true })[0] as string)).toEqual({
    path: '/a',
    request_body: masked,
    response_body: masked,
    mask_data: true,
  })
})

test('keys are found however they are written, and whatever stands around them', () => {
  const hostile = [
    `{"lines" : [ { "\\u0069nput" : "${SECRET}" , "n" : 1e400 } , {"output":{"a":["]","${SECRET}"]}} ] }`,
    `{"a":"\\"lines\\":[{\\"input\\":1}]","input":"${SECRET}"}`,
    `["${SECRET}"]`,
    `"${SECRET}"`,
  ]
  const sent = lines(hostile, { maskData: true })
  for (const line of sent) expect(line).not.toContain(SECRET)
  expect(sent[0]).toContain('"n" : 1e400 ,"mask_data":true}')
  expect(JSON.parse((sent[0] as string).replace('1e400', '1'))).toEqual({
    lines: [
      { input: masked, n: 1, mask_data: true },
      { output: masked, mask_data: true },
    ],
  })
  expect(JSON.parse(sent[1] as string)).toMatchObject({ input: masked, mask_data: true })
})

test('what a template, CEF or CPS makes of an event is masked too', () => {
  for (const changes of [
    { template: '{"m":{{log_message_str}},"i":{{event.lines.0.input}}}' },
    { format: 'cef' },
    { format: 'cps' },
  ] as const) {
    const [line] = lines([job], { maskData: true, ...changes })
    expect(line).not.toContain(SECRET)
    expect(line).toContain('masked')
  }
})

test('an event above 40 MB keeps its context, and its neighbours keep all', () => {
  const bulk = 'ä'.repeat(1024 * 1024)
  const large = { ...job, lines: Array.from({ length: 21 }, () => ({ input: bulk })), after: [1, 2] }
  const ndjson = Buffer.from(`${JSON.stringify(job)}\n${JSON.stringify(large)}\n${JSON.stringify(job)}\n`)
  expect(ndjson.length).toBeGreaterThan(limits.event_bytes_max)
  const sent = renderEvents(ndjson, plan).toString().split('\n')
  expect(sent).toHaveLength(4)
  expect(sent.map((line) => (line === '' ? null : JSON.parse(line)))).toEqual([
    job,
    { ...job, lines: 'Log lines exceed size limit', after: [1, 2] },
    job,
    null,
  ])
})

test('an event without lines loses its largest parts, its context last', () => {
  const body = 'x'.repeat(100_000)
  const exchange = { id: 1, request: { path: '/a', body }, response: { status: 200, body: 'small' } }
  const text = JSON.stringify(exchange)
  expect(withinSize(text, text.length)).toBe(text)
  expect(JSON.parse(withinSize(text, text.length - 1))).toEqual({
    ...exchange,
    request: { path: '/a', body: oversizeText },
  })
  const wide = JSON.stringify({ id: 1, many: Array.from({ length: 50_000 }, (_, at) => at) })
  expect(JSON.parse(withinSize(wide, 100_000))).toEqual({ id: 1, many: oversizeText })
})

const members = (count: number, value: (at: number) => unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, value(at)]))

test.each([
  ['many members that are not large', JSON.stringify({ id: 1, ...members(1000, () => 'x'.repeat(600)) })],
  ['members of many bytes a character', JSON.stringify({ id: 1, ...members(900, () => '漢'.repeat(2000)) })],
  ['very many tiny members', JSON.stringify({ id: 1, ...members(50_000, (at) => at) })],
  ['one long name', JSON.stringify({ id: 1, ['n'.repeat(500_000)]: 1, last: true })],
  ['no object', JSON.stringify(Array.from({ length: 100_000 }, (_, at) => at))],
  ['no JSON', 'x'.repeat(500_000)],
])('an event of %s is never above the limit', (_, text) => {
  const sent = withinSize(text, 100_000)
  expect(Buffer.byteLength(sent)).toBeLessThanOrEqual(100_000)
  expect(sent).toContain(oversizeText)
  if (text.startsWith('{')) expect(JSON.parse(sent)).toMatchObject({ id: 1 })
})

test('of members that are large together, no more go than must', () => {
  const event = { id: 1, a: 'a'.repeat(2000), b: 'b'.repeat(9000), c: 'c'.repeat(3000) }
  expect(JSON.parse(withinSize(JSON.stringify(event), 6000))).toEqual({ ...event, b: oversizeText })
})

test('an event of 60 MB in many members comes out below 40 MB, also where masking made it that large', () => {
  const wide = { id: 1, ...members(1000, () => 'x'.repeat(60_000)) }
  const narrow = { id: 2, lines: Array.from({ length: 1_000_000 }, () => ({ input: 0 })) }
  for (const event of [wide, narrow]) {
    const [line = ''] = lines([event], { maskData: true })
    expect(line.length).toBeLessThanOrEqual(limits.event_bytes_max)
    expect(JSON.parse(line)).toMatchObject({ id: event.id })
  }
})

test('a line that ends with a carriage return is masked like any other', () => {
  const [line = ''] = lines([` ${JSON.stringify({ input: SECRET })}\r`], { maskData: true })
  expect(JSON.parse(line)).toEqual({ input: masked, mask_data: true })
})

test('events that nothing is to be done to are not even copied', () => {
  const ndjson = Buffer.from(`${JSON.stringify(job)}\n`)
  expect(renderEvents(ndjson, plan)).toBe(ndjson)
})
