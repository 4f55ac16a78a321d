/** Message templates: every placeholder in every place, and what is refused before it is used. */
import { hostname } from 'node:os'
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { version } from '../../src/contract/version.ts'
import { checkTemplate } from '../../src/render/events.ts'
import { filler } from '../../src/render/fill.ts'
import { readTemplate } from '../../src/render/template.ts'
import { randomOf } from '../support/random.ts'
import { activity, lines, plan } from './plan.ts'

const send = (template: string, event: unknown = activity): unknown =>
  JSON.parse(lines([event], { template })[0] as string)

test('the printed forms: an event as JSON, and as a string with or without quotes around it', () => {
  const text = JSON.stringify(activity)
  expect(send('{"log_message": {{{log_message}}}}')).toEqual({ log_message: activity })
  expect(send('{"log_message_str": {{{log_message_str}}}}')).toEqual({ log_message_str: text })
  expect(send('{"log_message_str": "{{{log_message_str}}}"}')).toEqual({ log_message_str: text })
  expect(send('{"message": "{{{log_message}}}"}')).toEqual({ message: text })
  const sample =
    '{"source":"workato","environment":"staging","hostname":"workato_cloud","logEntries": {{log_message}}}'
  expect(send(sample)).toEqual({
    source: 'workato',
    environment: 'staging',
    hostname: 'workato_cloud',
    logEntries: activity,
  })
  expect(send('{{{log_message}}}')).toEqual(activity)
  expect(send('[{{log_message}}, {"a": {"b": {{now_utc}}}}]')).toMatchObject([activity, {}])
})

/** Grafana's push API wants a list of streams with a time in nanoseconds as text. */
test('a template over many lines gives one line per event', () => {
  const template = `{
    "streams": [
      { "stream": { "job": "mirrorgate {{{environment}}}" },
        "values": [ ["{{{now_utc_nano}}}", {{{log_message_str}}}] ] }
    ]
  }`
  const events = [activity, { ...activity, note: 'two\nlines and a " quote' }]
  const sent = lines(events, { template })
  expect(sent).toHaveLength(2)
  for (const [at, line] of sent.entries()) {
    const { streams } = JSON.parse(line)
    expect(streams[0].stream).toEqual({ job: 'mirrorgate dev' })
    expect(streams[0].values[0][0]).toMatch(/^\d{16}000$/)
    expect(JSON.parse(streams[0].values[0][1])).toEqual(events[at])
  }
})

test('the time in its four printed forms', () => {
  const read = readTemplate('[{{now}},{{now_utc}},{{now_utc_micro}},{{now_utc_nano}},"{{now}} {{now_utc}}"]')
  if (!('pieces' in read)) throw new Error(read.message)
  const at = Date.parse('2023-06-02T05:30:01.002Z') + 0.2139
  expect(filler(read.pieces, plan, () => at)('{}')).toBe(
    '["2023-06-02T01:30:01.002-04:00",1685683801002.2139,1685683801002213,1685683801002214000,' +
      '"2023-06-02T01:30:01.002-04:00 1685683801002.2139"]',
  )
})

test('the time is that of now', () => {
  const before = Date.now()
  const sent = send('{"ms":{{now_utc}},"us":{{now_utc_micro}},"text":{{now}}}') as Record<string, number>
  const after = Date.now()
  for (const ms of [sent.ms, (sent.us as number) / 1000]) {
    expect(ms).toBeGreaterThanOrEqual(before - 3)
    expect(ms).toBeLessThanOrEqual(after + 3)
  }
  expect(Math.abs(Date.parse(String(sent.text)) - before)).toBeLessThanOrEqual(after - before + 3)
})

test('fields of the event and of the gateway, as values and within text', () => {
  const event = { ...activity, big: 123, deep: [{ 'a"b': null }, [true, 'x\ny']] }
  const line = JSON.stringify(event).replace('123', '12345678901234567890.10')
  const template = `{"type":{{event.type}},"mail":{{event.user.email}},"missing":{{event.user.nothing}},
    "big":{{event.big}},"item":{{event.deep.1.1}},"list":{{event.deep}},"none":{{event.deep.7}},
    "text":"{{event.user.name}}/{{event.user.nothing}}/{{event.deep.1.1}}/{{event.user.id}}/{{event.deep.1}}",
    "where":[{{environment}},{{workspace}},{{workspace_id}},{{name}},{{version}},{{hostname}}],
    "{{event.event_type}}":"{{workspace}}"}`
  const [sent] = lines([line], { template })
  expect(sent).toContain('"big":12345678901234567890.10,')
  expect(JSON.parse(sent as string)).toMatchObject({
    type: 'user_login',
    mail: 'ada@example.com',
    missing: null,
    item: 'x\ny',
    list: event.deep,
    none: null,
    text: 'Ada//x\ny/3/[true,"x\\ny"]',
    where: ['dev', 'Acme "Works"', 7, 'siem', version, hostname()],
    user_login: 'Acme "Works"',
  })
})

test.each([
  ['{"a":}', 'must be valid JSON with a value here, got "}"', 1, 6],
  ['{"a":{{{log_message}}}', 'must be valid JSON with a comma or } here, got the end', 1, 23],
  ['{"a":1,\n "b":{{log_mesage}}}', 'got "log_mesage", did you mean log_message?', 2, 6],
  ['{"a":"{{ event. }}"}', 'got "event."', 1, 7],
  ['{"a":"{{event..x}}"}', 'got "event..x"', 1, 7],
  ['{"a":{{{now}}}}\nx', 'must be valid JSON with the end here, got "x"', 2, 1],
  ['{"a":12{{now}}}', 'must be valid JSON with a comma or } here, got "{"', 1, 8],
  ['{"a":{{now}}12}', 'must be valid JSON with a comma or } here, got "1"', 1, 13],
  ['{{{now}}:1}', 'must close {{{ with as many braces, got "{{{now}}"', 1, 1],
  ['{ {{now}}:1}', 'must be valid JSON with a key in quotes here, got "{"', 1, 3],
  ['{"a":1}', 'must hold a placeholder like {{{log_message}}}, got none', 1, 1],
  ['', 'must be valid JSON with a value here, got the end', 1, 1],
  ['{"a":[{{now}},]}', 'must be valid JSON with another element here, got "]"', 1, 15],
  ['{"a":"\\x{{now}}"}', 'text that JSON allows in a string', 1, 7],
  ['{"a":"ab\n{{now}}"}', 'text that JSON allows in a string', 1, 9],
  ['{"a":"{{now}}', 'must be valid JSON with the end of the string here, got the end', 1, 14],
  ['{"a":"{{"}', 'must be valid JSON with a placeholder like {{{log_message}}} here', 1, 7],
  ['['.repeat(200), `must nest at most ${limits.template_depth_max} levels deep`, 1, 66],
  [`"${'x'.repeat(limits.template_chars_max)}"`, 'must have at most 65536 characters', 1, 1],
])('%j is refused: %s', (template, message, line, column) => {
  const problem = checkTemplate(template)
  expect(problem?.message).toContain(message)
  expect(problem).toMatchObject({ line, column })
})

/** Whatever is accepted gives JSON, whatever the event. */
test('an accepted template never gives broken JSON', () => {
  const random = randomOf(7)
  const parts = [
    ...[
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '"a"',
      '"a":',
      '1',
      'null',
      ' ',
      '\n',
      '\\',
      '\\u00e4',
      '{{',
      '}}',
    ],
    ...['{{now}}', '{{{log_message}}}', '{{log_message_str}}', '"{{event.a}}"', '{{event.a}}', '{{{name}}}'],
  ]
  const values = [undefined, null, 1.5, 'x"\\\n\u2028\ud800', [1, { b: '{{now}}' }], { '"': [] }]
  let accepted = 0
  for (let round = 0; round < 20_000; round += 1) {
    const count = 1 + random.below(9)
    const middle = Array.from({ length: count }, () => random.pick(parts)).join('')
    const template = random.pick([middle, `{"a":${middle}}`, `[${middle}]`, `{"k":"${middle}"}`])
    if (checkTemplate(template) !== null) continue
    accepted += 1
    const [line] = lines([{ a: random.pick(values) }], { template })
    expect(() => JSON.parse(line as string), template).not.toThrow()
  }
  expect(accepted).toBeGreaterThan(500)
})
