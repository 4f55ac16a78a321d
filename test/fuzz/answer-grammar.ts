/** Answers as upstreams may send them, and as no upstream should. */
import type { Random } from '../support/random.ts'
import { anyFields, field, framingOf, part, spoil } from './grammar.ts'

/** Stands in what comes behind an answer; whoever sees it reads what is not theirs. */
export const poison = 'POISON'

const list = (words: string): string[] => words.split(' ')

const statuses = [
  '200 OK',
  '201 Created',
  '200',
  '200 ',
  '404 Not Found',
  '204 No Content',
  '304 Not Modified',
]
const oddStatuses = [
  ...list('0 99 000 099 600 999 1000 20 2 +200 0200 20x x00 -20 200OK 200\tOK 101 101 100 102 199 299'),
  ...[
    '',
    ' 200 OK',
    '200  OK',
    '200 O\0K',
    '200 O\rK',
    '200 O\nK',
    '200 \xff',
    '200 OK ',
    '2 00',
    '200\0',
    '200 \x01',
  ],
]
const oddVersions = [
  ...list('HTTP/2.0 HTTP/1.2 HTTP/0.9 HTTP/1 HTTP/11 HTTP/1.10 http/1.1 ICY HTTP/1.1\t HTTPS/1.1 HTTP/01.1'),
  ...[
    '',
    'HTTP/1.1 ',
    ' HTTP/1.1',
    'HTTP /1.1',
    '\0HTTP/1.1',
    '\r\nHTTP/1.1',
    '\nHTTP/1.1',
    '\r\n\r\nHTTP/1.1',
  ],
]
const interims = [
  ...[
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
    'HTTP/1.1 102 Processing\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
  ],
  ...['HTTP/1.1 103\r\n\r\n', 'HTTP/1.1 199 Odd\r\nX-I: 1\r\nX-I: 2\r\n\r\n'],
]
const oddInterims = [
  ...['HTTP/1.1 103 H\r\nContent-Length: 5\r\n\r\n', 'HTTP/1.1 103 H\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ...[
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n',
    'HTTP/1.1 103 H\n\n',
    'HTTP/1.1 103 H\r\nX : 1\r\n\r\n',
  ],
  ...[
    'HTTP/1.1 100 Continue\r\n\r\n'.repeat(40),
    'HTTP/1.0 103 H\r\n\r\n',
    'HTTP/1.1 103 H\r\n X: 1\r\n\r\n',
  ],
]
const bodies = [
  '',
  'x',
  'hello',
  '0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
  '\0\xff\r\n',
  'y'.repeat(6000),
]
const surplus = [
  ...[
    `${poison}`,
    `HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n${poison}`,
    `\r\n${poison}`,
    `\r\n\r\n${poison}`,
  ],
  ...[`0\r\n${poison}`, ` ${poison}`, `\0${poison}`, `HTTP/1.1 100 Continue\r\nX: ${poison}\r\n\r\n`],
]
const connections = [
  'keep-alive',
  'close',
  'Close',
  'x-a',
  'close, x-a',
  'x-mark',
  'content-length',
  'Upgrade',
  '',
  ',,',
]

export interface WrittenAnswer {
  readonly text: string
  /** Bytes behind its end were meant. */
  readonly surplus: boolean
}

/** What an upstream answers; spoilt now and then. */
export function answerText(random: Random): WrittenAnswer {
  const rarity = random.pick([6, 15, 50, 1000])
  let text = random.once(5) ? part(random, interims, oddInterims, rarity) : ''
  if (text !== '' && random.once(4)) text += part(random, interims, oddInterims, rarity)
  const version = random.once(10) ? 'HTTP/1.0' : part(random, ['HTTP/1.1'], oddVersions, rarity)
  const space = part(random, [' '], ['  ', '\t', '', '\r', '\0'], rarity * 3)
  const body = random.pick(bodies)
  const { fields, coded } = framingOf(random, rarity, body)
  const lines = [
    field(random, 'X-Mark', 'm', 1000),
    ...anyFields(random, rarity),
    ...(random.once(5) ? [field(random, 'Connection', random.pick(connections), rarity)] : []),
    ...fields,
  ]
  text += `${version}${space}${part(random, statuses, oddStatuses, rarity)}\r\n${lines.join('')}\r\n${coded}`
  const more = random.once(8)
  if (more) text += random.pick(surplus)
  if (random.once(5)) text = spoil(random, text)
  return { text: random.once(6) ? text.slice(0, random.below(text.length + 1)) : text, surplus: more }
}
