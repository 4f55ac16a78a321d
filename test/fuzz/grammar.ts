/** Requests as clients may send them, and as nobody should: mostly good parts, put together at random. */
import type { Random } from '../support/random.ts'

/** Good ones are taken as often as odd ones are rare. */
export function part(
  random: Random,
  good: readonly string[],
  odd: readonly string[],
  rarity: number,
): string {
  return random.pick(random.once(rarity) ? odd : good)
}

const list = (words: string): string[] => words.split(' ')

const methods = list('GET GET POST POST PUT PATCH DELETE HEAD OPTIONS')
const oddMethods = [
  ...list('get GETS G CONNECT TRACE PROPFIND M-SEARCH PRI QUERY PURGE SOURCE UNLINK __proto__'),
  ...['', 'GE T', 'G(T', 'GET\0', 'GET\r', '\xffGET', ' GET', '"GET"', 'GET\t', 'P\tOST', "!#$%&'*+.^_`|~"],
]
const paths = list('/ /a /a/b/c /a?b=c /a?b=/../c /a%20b /private /private/x /cut/y /cut /a;b=c /A.b~c_d-e')
const oddPaths = [
  ...list('/.. /../private /a/../private /private/.. /private/../x /%2e%2e/private /private/%2E%2e/x'),
  ...list('//private /private//x /private%2fx /private%2F..%2fx /private\\x /\\private /private/..\\x'),
  ...list('/private;x /private;x/y /a/..;/private /private/..;/x /cut/../private /cut/./y /cut//y /cut/%41'),
  ...list('/%70rivate /PRIVATE /private. /privateer /private/%2 /a%zz /a%00 /a%0d%0aX:b /a%25%32%65'),
  ...list('* ** a a/b ? ?a //a.test/b ///a http://a.test http://a.test/ http://a.test?b https://a.test/b'),
  ...list(
    'HTTP://A.test/b http:///b http://u@a.test/ http://a.test:80/ http://a.test:x/ ftp://a.test/ http:/b',
  ),
  ...list('a.test:443 /a#b # http://a.test#b http://b.test/x http://[::1]/ http://a.test/private/../b'),
  ...[
    '',
    '/a b',
    '/a\tb',
    '/a\0b',
    '/a\rb',
    '/a\nb',
    '/\xff',
    '/\xc3\xa9',
    '/\x7f',
    '/a"b',
    '/<a>',
    '/{a}|^`',
  ],
  ...['/a\x01', '/a\x0bb', '/a\x85b', '/a\xa0b', `/${'a'.repeat(7000)}`, `/?${'%41'.repeat(3000)}`],
]
const oddVersions = [
  ...list('HTTP/2.0 HTTP/0.9 HTTP/1.2 HTTP/1 HTTP/1. HTTP/11 HTTP/1.10 HTTP/01.1 http/1.1 HTTP/1,1 HTTP'),
  ...[
    '',
    'HTTP/1.1 ',
    'HTTP/1.1\t',
    'HTTP/1.1 x',
    'HTTP /1.1',
    'HTTPS/1.1',
    'ICE/1.0',
    'HTTP/1.1\0',
    'HTTP/+1.1',
  ],
]
const hosts = list('a.test A.Test a.test:80 127.0.0.1:8080 [::1]:80 a_b.test')
const oddHosts = [
  ...list('a.test, b.test a.test/x u@a.test a.test:x a.test:99999 a.test: [::1 ::1 a..test .a.test a.test.'),
  ...['', ' ', 'a b', 'a\tb', 'a.test\0', 'a\xff', 'a%zz', '%61.test', 'a"b', 'a#b', 'a?b', '-', '*', 'a\\b'],
  ...['[fe80::1%25en0]', `${'a'.repeat(400)}.test`, 'a.test:80:80', 'http://a.test'],
]
const lineEnds = [
  '\n',
  '\r',
  '\r\r\n',
  '\n\r',
  '\0\r\n',
  ' \r\n',
  '\t\r\n',
  '\r\n\r\n',
  '\r\n ',
  '\r\n\t',
  '',
]
const colons = [':', ': ', ':\t', ':  \t ']
const oddColons = [' :', '\t:', '', ' ', '=', '::', ':\r\n ', ': \r\n\t', '\0:', ':\x0b', ':\x0c', '\xa0:']
const names = list(
  'X-A x-a X-B Accept User-Agent Cookie Cookie X-Long-Name-Of-A-Field Via Range If-None-Match',
)
const oddNames = [
  ...list(
    'X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port Forwarded X-Real-IP X-Request-Id',
  ),
  ...list('Keep-Alive Proxy-Connection Proxy-Authorization TE Upgrade Trailer Authorization Date Server'),
  ...list('X(A X@A X"A X/A X[A] __proto__ constructor Content_Length Transfer_Encoding Content-Lengthx'),
  ...['', ' X', '\tX', 'X A', 'X\0', 'X\xff', '\xc3\xa9', 'X\r', 'X\n', 'Content Length', 'X\x7f'],
]
const values = list('b c d/e 1 "q;r" a,b,,c text/html;q=0.8 x=y;z')
const oddValues = [
  ...[
    '',
    ' ',
    '\t',
    'a\tb',
    'a  b',
    '\xff\xfe',
    '\xc3\xa9',
    'a\0b',
    'a\rb',
    'a\nb',
    'a\x01b',
    'a\x7fb',
    '\x0b',
  ],
  ...['a\r\nX-Injected: b', 'a\r\n b', 'a\r\n\tb', 'a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'],
  ...['x'.repeat(3000), ','.repeat(500), '__proto__', '\x80\x9f', '\x85', '\xa0b\xa0'],
]
const connections = [
  ...list('keep-alive close Keep-Alive CLOSE close,keep-alive x-a X-B,keep-alive host content-length'),
  ...list(
    'transfer-encoding via x-request-id x-forwarded-for cookie,close Upgrade TE expect ,,close,, connection',
  ),
  ...['close ', ' , close', 'close;x', '"close"', 'clos\xe9', 'keep-alive, Upgrade, X-A', 'a b'],
]
const oddLengths = [
  ...list('+5 -5 0x5 5.0 5e0 05 00005 5,5 5;5 5a a 99999999999999999999 18446744073709551621 4294967301'),
  ...['', ' ', '5 5', '5, 5', '5\t', '\x0b5', '5\0', '5\r', '5\n', '"5"', '5\r\n 0', '0,5', '-0', '1'],
]
const oddCodings = [
  ...list(
    'Chunked CHUNKED xchunked chunkedx identity gzip gzip,chunked chunked,gzip chunked,chunked chunked; x',
  ),
  ...[
    '',
    ' ',
    'chunked,',
    ',chunked',
    'chunked ,',
    ' chunked',
    'chunked\t',
    '\x0bchunked',
    'chunked\0',
    'chu\rnked',
  ],
  ...[
    '"chunked"',
    'chunked;q=1',
    'identity, chunked',
    'chunked\r\n , x',
    '\r\n chunked',
    'chunked\n',
    'cHuNkEd',
  ],
]
const framingNames = [
  ...[
    'content-length',
    'CONTENT-LENGTH',
    'Content-Length ',
    'Content-Length\t',
    'Content-Length\0',
    'Content_Length',
  ],
  ...[
    'transfer-encoding',
    'Transfer-Encoding ',
    'Transfer-Encoding\t',
    'Transfer\tEncoding',
    '\x0bTransfer-Encoding',
  ],
]
const bodies = [
  '',
  'x',
  'hello',
  '0\r\n\r\n',
  'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
  '\r\n\r\n',
  'a\0\xff\r\nb',
]

const sizes = (length: number): string[] => {
  const hex = length.toString(16)
  return [
    ...[
      `0${hex}`,
      `00000000${hex}`,
      hex.toUpperCase(),
      `0x${hex}`,
      `-${hex}`,
      `+${hex}`,
      ` ${hex}`,
      `${hex} `,
    ],
    ...[
      `${hex}\t`,
      `${hex}\0`,
      `${hex}\r`,
      `${hex}g`,
      `${hex},`,
      '',
      'g',
      `${'0'.repeat(20)}${hex}`,
      `${hex}.0`,
    ],
    ...[
      `1${hex}`,
      (length + 1).toString(16),
      'ffffffffffffffff',
      `10000000000000000${hex}`,
      `${hex}\n`,
      `${hex}h`,
    ],
  ]
}
const extensions = ['', '', '', ';a', ';a=b', ';a="b c"', ';a="\\"";b', ';a="b;c\\\\"', ';A=1;b=2;c']
const oddExtensions = [
  ...[
    ';',
    ' ;a',
    ';a ',
    '; a',
    ';a =b',
    ';a= b',
    ';a=',
    ';=b',
    ';a="',
    ';a="b',
    ';a=b c',
    ';a"b"',
    ';a="\xff"',
  ],
  ...[
    ';a="\n"',
    ';a="\r"',
    ';a\0',
    ';a\x01',
    ';a\r',
    ';a\n',
    ';\xff',
    ';a="b"c',
    ';;a',
    ' ',
    ';a="\\\r\n"',
    ';a=\\',
  ],
  `;a=${'b'.repeat(2000)}`,
]
const trailers = ['', '', '', 'X-T: u\r\n', 'X-T: u\r\nx-t: v\r\n', 'X-Sum:\r\n']
const oddTrailers = [
  ...[
    'X-T : u\r\n',
    ' X: u\r\n',
    'X-T: u\r\n v\r\n',
    'X-T: \0\r\n',
    'X-T: u\n',
    'X-T\r\n',
    ': u\r\n',
    'X-T: \xff\r\n',
  ],
  ...[
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Host: b\r\n',
    'Trailer: x\r\n',
    'X-T: a\rb\r\n',
  ],
  ...['Authorization: x\r\n', 'Connection: close\r\n', 'GET /smuggled HTTP/1.1\r\n', 'X-T: u\r'],
]

/** A body in chunks; where `rarity` allows it, not a good one. */
export function chunks(random: Random, body: string, rarity: number): string {
  let text = ''
  for (let at = 0; at < body.length; ) {
    const length = 1 + random.below(Math.min(body.length - at, 12))
    const size = part(random, [length.toString(16)], sizes(length), rarity)
    const extension = part(random, extensions, oddExtensions, rarity)
    const end = part(random, ['\r\n'], lineEnds, rarity)
    const border = part(random, ['\r\n'], lineEnds, rarity)
    text += `${size}${extension}${end}${body.slice(at, at + length)}${border}`
    at += length
  }
  const last = part(random, ['0'], ['00', '0;a', '-0', '0 ', ' 0', '', '0x0', '0\t'], rarity)
  const fields = part(random, trailers, oddTrailers, rarity)
  return `${text}${last}\r\n${fields}${part(random, ['\r\n'], lineEnds, rarity * 2)}`
}

export function field(random: Random, name: string, value: string, rarity: number): string {
  return name + part(random, colons, oddColons, rarity) + value + part(random, ['\r\n'], lineEnds, rarity)
}

/** Fields that mean nothing for the borders of the message. */
export function anyFields(random: Random, rarity: number): string[] {
  const count = random.once(60) ? 190 + random.below(30) : random.below(4)
  return Array.from({ length: count }, () => {
    const name = part(random, names, oddNames, rarity)
    return field(random, name, part(random, values, oddValues, rarity), rarity)
  })
}

/** Fields that say how a body ends, and the body as they say it. */
export function framingOf(random: Random, rarity: number, body: string): { fields: string[]; coded: string } {
  const one = (name: string, value: string): string => field(random, name, value, rarity * 2)
  const length = String(body.length)
  const kind = random.pick(['none', 'length', 'chunked'] as const)
  const coding = random.once(rarity) ? random.pick(oddCodings) : 'chunked'
  const counted = random.once(rarity) ? random.pick(oddLengths) : length
  const fields = [
    ...(kind === 'length' || random.once(rarity * 3) ? [one('Content-Length', counted)] : []),
    ...(kind === 'chunked' || random.once(rarity * 3) ? [one('Transfer-Encoding', coding)] : []),
  ]
  if (random.once(rarity)) {
    const name = random.pick(framingNames)
    fields.push(one(name, /transfer/i.test(name) ? coding : random.pick([length, counted])))
  }
  return { fields, coded: kind === 'chunked' ? chunks(random, body, rarity) : body }
}

function shuffled(random: Random, lines: string[]): string[] {
  for (let at = lines.length - 1; at > 0; at--) {
    const other = random.below(at + 1)
    ;[lines[at], lines[other]] = [lines[other] as string, lines[at] as string]
  }
  return lines
}

function request(random: Random, rarity: number, last: boolean): string {
  const method = part(random, methods, oddMethods, rarity)
  const target = part(random, paths, oddPaths, Math.ceil(rarity / 2))
  const version = random.once(15) ? 'HTTP/1.0' : part(random, ['HTTP/1.1'], oddVersions, rarity)
  const space = () => part(random, [' '], ['  ', '\t', '\r', '\x0b', '\xa0', '', ' \t'], rarity * 3)
  const { fields, coded } = framingOf(random, rarity, random.pick(bodies))
  // Without a framing there is no body, however many bytes follow.
  const body = fields.length > 0 || random.once(rarity) ? coded : ''
  const host = field(random, 'Host', part(random, hosts, oddHosts, rarity), rarity * 2)
  const lines = shuffled(random, [
    ...(random.once(rarity * 2) ? [] : [host]),
    ...(random.once(rarity * 3) ? [host] : []),
    ...anyFields(random, rarity),
    ...(random.once(last ? 3 : 12) ? [field(random, 'Connection', random.pick(connections), rarity)] : []),
    ...(random.once(10)
      ? [field(random, 'Expect', part(random, ['100-continue'], ['100-Continue', 'x', ''], 4), rarity)]
      : []),
    ...fields,
  ])
  const before = part(random, [''], ['\r\n', '\r\n\r\n', '\n', '\r', ' ', '\0', '\xef\xbb\xbf'], rarity * 3)
  const start = `${before}${method}${space()}${target}${space()}${version}`
  return `${start}${part(random, ['\r\n'], lineEnds, rarity * 2)}${lines.join('')}\r\n${body}`
}

/** What a client sends on one connection: requests behind each other, spoilt now and then. */
export function conversation(random: Random): string {
  const count = random.pick([1, 1, 1, 2, 2, 3, 4, 6])
  // Some are good throughout, so that forwarding is judged as much as refusing.
  const rarity = random.pick([8, 20, 60, 1000])
  let text = ''
  for (let at = 1; at <= count; at++) text += request(random, rarity, at === count)
  if (random.once(4)) text = spoil(random, text)
  return random.once(8) ? text.slice(0, random.below(text.length)) : text
}

const pieces = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '\xff',
  '0',
  '1',
  '\x01',
  '\x7f',
  '"',
  '\\',
  '%',
]

/** Inserts, removes, replaces, repeats or swaps bytes. */
export function spoil(random: Random, text: string): string {
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(text.length + 1)
    const to = Math.min(text.length, at + 1 + random.below(random.once(4) ? 30 : 3))
    const cut = text.slice(at, to)
    const [before, after] = [text.slice(0, at), text.slice(to)]
    const changes = [
      () => before + random.pick(pieces) + cut + after,
      () => before + after,
      () => before + String.fromCharCode(random.below(256)) + cut.slice(1) + after,
      () => before + cut + cut + after,
      () => before + [...cut].reverse().join('') + after,
      () => after + cut,
      () => text.slice(0, at) + text.slice(random.below(text.length + 1)),
    ]
    text = random.pick(changes)()
  }
  return text
}

/** The same bytes in one or many writes. */
export function split(random: Random, text: string): string[] {
  const how = random.below(6)
  if (how < 2 || text === '') return [text]
  if (how === 2 && text.length < 600) return [...text]
  const cuts = Array.from({ length: 1 + random.below(how === 3 ? 2 : 8) }, () => random.below(text.length))
  const borders = [0, ...cuts.sort((a, b) => a - b), text.length]
  return borders
    .slice(1)
    .map((border, at) => text.slice(borders[at], border))
    .filter((piece) => piece !== '')
}
