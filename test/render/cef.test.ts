/** CEF survives hostile values: what a parser written from the standard reads is what was sent. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { version } from '../../src/contract/version.ts'
import { cefLine } from '../../src/render/cef.ts'
import { randomOf } from '../support/random.ts'
import { parseCef } from './cef-parser.ts'
import { activity, lines } from './plan.ts'

const bits = [
  ...[
    '|',
    '\\',
    '=',
    '\n',
    '\r',
    '\r\n',
    ' ',
    '  ',
    ' a=',
    ' sig=',
    '\\n',
    '\\=',
    '\\|',
    '\t',
    '\0',
    '"',
    ',',
  ],
  ...['😀', 'é', '\u2028', '\u0085', '\ud83d', '\udc00', 'CEF:0|', 'x', 'plain words', '{"a":"b"}', ''],
] as const

/** The standard's lengths. */
const headerChars = [63, 63, 31, 1023, 512]

test('20,000 hostile headers and extensions', () => {
  const random = randomOf(20)
  const text = (): string => Array.from({ length: random.below(6) }, () => random.pick(bits)).join('')
  for (let round = 0; round < 20_000; round += 1) {
    const event = {
      device: [text(), text(), text()] as const,
      classId: text(),
      name: text(),
      severity: random.below(11),
      pairs: [
        ['rt', random.below(1e9)],
        ['msg', text()],
        ['user_agent', text()],
        ['success', random.once(2)],
        ['cs1', text()],
      ] as const,
    }
    const line = cefLine(event)
    expect(line).not.toMatch(/[\n\r]/)
    const read = parseCef(line)
    const header = (value: string, at: number) =>
      value
        .slice(0, headerChars[at])
        .toWellFormed()
        .replace(/[\r\n]+/g, ' ')
    expect(read, JSON.stringify(line)).toEqual({
      prefix: '',
      header: [...event.device, event.classId, event.name].map(header),
      severity: event.severity,
      extension: Object.fromEntries(event.pairs.map(([key, value]) => [key, String(value).toWellFormed()])),
    })
  }
})

test('an entry of the activity log under keys of the dictionary, and nothing of it is lost', () => {
  const event = { ...activity, details: { ...activity.details, old: { name: 'a|b=c\n', list: [1, 'x'] } } }
  const [line] = lines([event], { format: 'cef' })
  expect(parseCef(line as string)).toEqual({
    prefix: '',
    header: ['mirrorgate', 'mirrorgate', version, 'user_login', 'user login'],
    severity: 1,
    extension: {
      rt: String(Date.parse(activity.timestamp)),
      src: '172.71.232.22',
      suser: 'ada@example.com',
      suid: '3',
      requestClientApplication: 'curl/8',
      externalId: '42',
      msg: 'password_login',
      mirrorgateTimestamp: activity.timestamp,
      mirrorgateEventType: 'user_login',
      mirrorgateWorkspaceId: '7',
      mirrorgateWorkspaceName: 'Acme',
      mirrorgateWorkspaceEmail: 'ops@example.com',
      mirrorgateWorkspaceEnvironment: 'dev',
      mirrorgateUserName: 'Ada',
      mirrorgateDetailsOldName: 'a|b=c\n',
      mirrorgateDetailsOldList: '[1,"x"]',
      mirrorgateResourceId: '1',
      mirrorgateResourceName: 'Acme',
      mirrorgateResourceType: 'Workspace',
    },
  })
})

test.each([
  [{ event_type: 'user_login_failed' }, 6],
  [{ event_type: 'mirror_parked' }, 6],
  [{ event_type: 'tag_created' }, 1],
  [{ type: 'job_summary', status: 'failed' }, 6],
  [{ method: 'GET', path: '/', status: 502 }, 7],
  [{ method: 'GET', path: '/', status: 403 }, 6],
  [{ method: 'GET', path: '/', status: 200 }, 1],
])('%j has severity %i', (event, severity) => {
  const [line] = lines([event], { format: 'cef' })
  expect(parseCef(line as string).severity).toBe(severity)
})

test('whatever is posted is one bounded line with each key once', () => {
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`key ${at}`, at]))
  const hostile: unknown[] = [
    many,
    { 'a b': 1, 'a=b': 2, a: { b: 3 }, '|\n': 4, '': { '': 5 } },
    { event_type: 'x\n|=y', msg: 'x'.repeat(100_000), __proto__: null, constructor: 'c' },
    '"text"',
    '[1,2]',
    'no JSON = at all',
  ]
  const sent = lines(hostile, { format: 'cef' })
  expect(sent).toHaveLength(hostile.length)
  for (const line of sent) {
    expect(line.length).toBeLessThan(20_000)
    parseCef(line)
  }
  expect(parseCef(sent[1] as string).extension).toMatchObject({
    mirrorgateAB: '1',
    mirrorgateAB2: '2',
    mirrorgateAB3: '3',
    mirrorgate: '4',
    mirrorgate2: '5',
  })
})

test('an event that nests too deep to be taken apart is a message', () => {
  const deep = `{"deep":[${'{"1":'.repeat(9000)}1${'}'.repeat(9000)}]}`
  const [line = ''] = lines([deep], { format: 'cef' })
  expect(parseCef(line).extension['msg']).toBe(deep.slice(0, limits.cef_value_chars_max))
})
