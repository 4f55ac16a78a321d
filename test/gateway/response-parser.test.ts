/** The parser of upstreams' answers: what it takes, what it refuses, wherever the reads happen to end. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { ResponseParser } from '../../src/proxy/response-parser.ts'

const bounds = { headerBytes: 2048, headerCount: 20 }

interface Parsed {
  /** Status, reason and fields of each head, interim ones too. */
  heads: string[]
  body: string
  trailers: readonly string[]
  outcome: 'done' | 'broken' | 'unfinished'
  /** Whether the end of the connection would complete it. */
  endCompletes: boolean
}

/** Feeds pieces in memory of their own, with other bytes behind them, as reads do. */
function parse(pieces: readonly string[], method = 'GET', parser = new ResponseParser(bounds)): Parsed {
  parser.begin(method)
  const heads: string[] = []
  let body = ''
  for (const piece of pieces) {
    const memory = Buffer.alloc(piece.length + 64, 'HTTP/1.1 200 OK\r\n\r\n')
    memory.write(piece, 'latin1')
    parser.feed(memory, piece.length)
    if (parser.broken) break
    for (const head of [...parser.interim, ...(parser.head === null ? [] : [parser.head])]) {
      const fields = head.lines.split('\r\n').filter((line) => line !== '')
      heads.push([head.status, head.reason, ...fields.map((line) => line.replace(': ', '|'))].join('|'))
    }
    body += memory.toString('latin1', parser.dataStart, parser.dataEnd)
  }
  return {
    heads,
    body,
    trailers: parser.trailers,
    outcome: parser.broken ? 'broken' : parser.done ? 'done' : 'unfinished',
    endCompletes: !parser.broken && parser.end(),
  }
}

/** Every way to read it: whole, in two pieces, in single bytes, in threes. */
function everySplit(bytes: string): string[][] {
  const pieces = (size: number): string[] =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.slice(at * size, (at + 1) * size))
  const twos = Array.from({ length: bytes.length - 1 }, (_, at) => [
    bytes.slice(0, at + 1),
    bytes.slice(at + 1),
  ])
  return [[bytes], pieces(1), pieces(3), ...twos]
}

const ok = 'HTTP/1.1 200 OK\r\n'
const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`

test.each<[what: string, bytes: string, expected: Partial<Parsed>, method?: string]>([
  ['a length', `${ok}Content-Length: 5\r\n\r\nhello`, { heads: ['200|OK|Content-Length|5'], body: 'hello' }],
  ['a length of 0', `${ok}content-length:0\r\n\r\n`, { heads: ['200|OK|content-length|0'] }],
  ['no reason', 'HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n', { heads: ['404||Content-Length|0'] }],
  ['no reason, no space', 'HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n', { heads: ['404||Content-Length|0'] }],
  ['a reason of any bytes', 'HTTP/1.1 200 \xe4\t!\r\nContent-Length: 0\r\n\r\n', {}],
  [
    'order, case, duplicates and spaces around values',
    `${ok}X-B:  two words \t\r\nx-a:\r\nX-B:3\r\nContent-Length: 0\r\n\r\n`,
    { heads: ['200|OK|X-B|two words|x-a||X-B|3|Content-Length|0'] },
  ],
  [
    'hop-by-hop fields, and those that Connection names',
    `${ok}Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: max=5\r\nTE: x\r\nContent-Length: 0\r\n\r\n`,
    { heads: ['200|OK|Content-Length|0'] },
  ],
  ['chunks', `${chunked}5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n`, { body: 'hello world' }],
  ['chunks of one byte', `${chunked}${'1\r\nx\r\n'.repeat(20)}0\r\n\r\n`, { body: 'x'.repeat(20) }],
  ['upper-case sizes', `${chunked}A\r\n0123456789\r\n0\r\n\r\n`, { body: '0123456789' }],
  ['extensions', `${chunked}2;a;b=c;d="e\\"; f"\r\nhi\r\n0;last\r\n\r\n`, { body: 'hi' }],
  ['line ends within chunks', `${chunked}6\r\n\r\n0\r\n\r\r\n0\r\n\r\n`, { body: '\r\n0\r\n\r' }],
  [
    'trailers',
    `${chunked}2\r\nhi\r\n0\r\nX-Sum: 9\r\nx-sum:\r\n\r\n`,
    { body: 'hi', trailers: ['X-Sum', '9', 'x-sum', ''] },
  ],
  ['chunked in any case', `${ok}transfer-encoding: Chunked\r\n\r\n0\r\n\r\n`, {}],
  [
    'interim answers',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${ok}Content-Length: 1\r\n\r\nx`,
    { heads: ['100|Continue', '103|Early Hints|Link|a', '200|OK|Content-Length|1'], body: 'x' },
  ],
  ['204', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', {}],
  ['304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', {}],
  ['an answer to HEAD', `${ok}Content-Length: 9\r\n\r\n`, {}, 'HEAD'],
  ['a chunked answer to HEAD', chunked, {}, 'HEAD'],
  ['a body up to the end', `${ok}X-A: b\r\n\r\nall of it`, { body: 'all of it', outcome: 'unfinished' }],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nall of it', { body: 'all of it', outcome: 'unfinished' }],
  ['HTTP/1.0 with a length', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi', { body: 'hi' }],
])('it takes %s, wherever the reads end', (_what, bytes, expected, method) => {
  const whole = parse([bytes], method)
  expect(whole).toMatchObject({ outcome: 'done', endCompletes: true, ...expected })
  for (const pieces of everySplit(bytes)) expect(parse(pieces, method)).toEqual(whole)
})

/** A field in a head that is fine without it. */
const withField = (line: string) => `${ok}${line}\r\nContent-Length: 0\r\n\r\n`
const length = (value: string) => `${ok}Content-Length: ${value}\r\n\r\nhello`

test.each<[what: string, bytes: string, method?: string]>([
  // RFC 9112 §4
  ['no HTTP', 'SSH-2.0-OpenSSH\r\n'],
  ['HTTP/0.9', '<html>'],
  ['another version', 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['HTTP/2', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['lower case', 'http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['two spaces', 'HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a tab', 'HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status below 100', 'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status that is no number', 'HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status line that ends early', 'HTTP/1.1\r\nContent-Length: 200\r\n\r\n'],
  ['a control in the reason', 'HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n'],
  ['bare CR after the status line', 'HTTP/1.1 200 OK\rX: y\r\nContent-Length: 0\r\n\r\n'],
  ['an empty line first', `\r\n${ok}Content-Length: 0\r\n\r\n`],
  // RFC 9112 §2.2, §5.1, §5.2; RFC 9110 §5.5
  ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
  ['bare LF in the fields', `${ok}X-A: b\nContent-Length: 0\r\n\r\n`],
  ['bare CR in a value', withField('X-A: b\rX-C: d')],
  ['CR CR LF', withField('X-A: b\r')],
  ['NUL', withField('X-A: b\0c')],
  ['a control', withField('X-A: b\x01c')],
  ['DEL', withField('X-A: b\x7fc')],
  ['obs-fold', withField('X-A: b\r\n c')],
  ['obs-fold of the status line', withField(' X-A: b')],
  ['a space before the colon', withField('X-A : b')],
  ['no colon', withField('No colon here')],
  ['no name', withField(': b')],
  ['a name that is no token', withField('X(A): b')],
  ['a name of other bytes', withField('X-\xe4: b')],
  // RFC 9112 §6.1, §6.3
  ['both framings', `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['both framings, the other way round', `${ok}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n`],
  ['two lengths that agree', `${ok}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ['two lengths that do not', `${ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`],
  ...['5, 5', '+5', '-5', '0x5', '5a', '5 5', '', '9'.repeat(16), '5.0', '1e2'].map(
    (value): [string, string] => [`the length ${JSON.stringify(value)}`, length(value)],
  ),
  ...[
    'gzip',
    'gzip, chunked',
    'chunked, chunked',
    'identity',
    '',
    'xchunked',
    'chunked;q=1',
    '"chunked"',
  ].map((value): [string, string] => [
    `the coding ${JSON.stringify(value)}`,
    `${ok}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`,
  ]),
  ['two codings', `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['204 with a length above 0', 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n'],
  ['204 with chunks', 'HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['an interim answer with chunks', 'HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['101', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
  // RFC 9112 §7.1
  ...[
    '',
    'g',
    '-1',
    '+1',
    '0x1',
    ' 1',
    '1 ',
    '1\t',
    '1;',
    '1; a',
    '1;a=',
    '1;a="',
    '1;a=b c',
    '1;\x01',
    '1,1',
  ].map((size): [string, string] => [
    `the chunk size ${JSON.stringify(size)}`,
    `${chunked}${size}\r\nx\r\n0\r\n\r\n`,
  ]),
  ['a chunk size beyond all numbers', `${chunked}fffffffffffffff\r\n`],
  ['a chunk size of many zeros', `${chunked}${'0'.repeat(17)}1\r\n`],
  ['bare LF after a chunk size', `${chunked}1\nx\r\n0\r\n\r\n`],
  ['bare CR after a chunk size', `${chunked}1\rx\r\n0\r\n\r\n`],
  ['bare LF in an extension', `${chunked}1;a\nx\r\n0\r\n\r\n`],
  ['a chunk that is longer than its size', `${chunked}1\r\nxy\r\n0\r\n\r\n`],
  ['bare LF after a chunk', `${chunked}1\r\nx\n0\r\n\r\n`],
  ['bare CR after a chunk', `${chunked}1\r\nx\r0\r\n\r\n`],
  ['a bad trailer', `${chunked}0\r\nX A: b\r\n\r\n`],
  ['a folded trailer', `${chunked}0\r\nX-A: b\r\n c\r\n\r\n`],
  ['a control in a trailer', `${chunked}0\r\nX-A: \0\r\n\r\n`],
  // RFC 9112 §9.2
  ['bytes after a length', `${ok}Content-Length: 5\r\n\r\nhello!`],
  ['a second answer', `${ok}Content-Length: 0\r\n\r\n${ok}Content-Length: 0\r\n\r\n`],
  ['bytes after the last chunk', `${chunked}0\r\n\r\n\r\n`],
  ['a body with 204', 'HTTP/1.1 204 No\r\n\r\nx'],
  ['a body with 304', 'HTTP/1.1 304 Not\r\nContent-Length: 1\r\n\r\nx'],
  ['a body for HEAD', `${ok}Content-Length: 1\r\n\r\nx`, 'HEAD'],
  // Bounds
  ['a head that is too large', `${ok}X-A: ${'x'.repeat(2048)}\r\n\r\n`],
  ['a head that never ends', `${ok}X-A: ${'x'.repeat(2100)}`],
  ['too many fields', `${ok}${'A: b\r\n'.repeat(21)}\r\n`],
  ['too many trailers', `${chunked}0\r\n${'A: b\r\n'.repeat(21)}\r\n`],
  ['trailers that are too large', `${chunked}0\r\nX-A: ${'x'.repeat(2048)}\r\n\r\n`],
  ['a flood of interim answers', 'HTTP/1.1 103 Hints\r\n\r\n'.repeat(limits.interim_answers_max + 1)],
])('it refuses %s, wherever the reads end', (_what, bytes, method) => {
  expect(parse([bytes], method).outcome).toBe('broken')
  const whole = parse([bytes], method)
  // Nothing of an answer was told when all of it was in one read.
  expect(whole).toMatchObject({ heads: [], body: '' })
  const splits = bytes.length > 1000 ? everySplit(bytes).slice(1, 3) : everySplit(bytes)
  for (const pieces of splits) expect(parse(pieces, method).outcome).toBe('broken')
})

test('what is refused is refused as soon as it cannot become right any more', () => {
  for (const bytes of ['X', 'HTTP/2', 'HTTP/1.1 200 OK\rX', 'HTTP/1.1 200 OK\n', `${ok}X-A: \0`, `${ok} `]) {
    expect([bytes, parse([bytes]).outcome]).toEqual([bytes, 'broken'])
  }
})

test('extensions are bounded over all chunks of an answer', () => {
  const chunk = `1;${'a'.repeat(1000)}\r\nx\r\n`
  const fits = Math.floor(limits.chunk_extension_bytes / 1000)
  expect(parse([chunked + chunk.repeat(fits)]).outcome).toBe('unfinished')
  expect(parse([chunked + chunk.repeat(fits + 1)]).outcome).toBe('broken')
  // A next answer has the whole bound again.
  const parser = new ResponseParser(bounds)
  for (let round = 0; round < 3; round++) {
    expect(parse([`${chunked}${chunk.repeat(fits)}0\r\n\r\n`], 'GET', parser).outcome).toBe('done')
  }
})

test('whether the connection stays, and for how long', () => {
  const head = (version: string, fields: string) => {
    const parser = new ResponseParser(bounds)
    const bytes = Buffer.from(`HTTP/${version} 200 OK\r\n${fields}Content-Length: 0\r\n\r\n`)
    parser.begin('GET')
    parser.feed(bytes, bytes.length)
    return parser.head
  }
  expect(head('1.1', '')).toMatchObject({ persistent: true, idleSeconds: -1 })
  expect(head('1.1', 'Connection: close\r\n')?.persistent).toBe(false)
  expect(head('1.1', 'Connection: x, Close\r\n')?.persistent).toBe(false)
  expect(head('1.1', 'Connection: x\r\nConnection: close\r\n')?.persistent).toBe(false)
  expect(head('1.1', 'Connection: not-close\r\n')?.persistent).toBe(true)
  expect(head('1.0', '')?.persistent).toBe(false)
  expect(head('1.0', 'Connection: Keep-Alive\r\n')?.persistent).toBe(true)
  expect(head('1.0', 'Connection: keep-alive, close\r\n')?.persistent).toBe(false)
  expect(head('1.1', 'Keep-Alive: timeout=5, max=100\r\n')?.idleSeconds).toBe(5)
  expect(head('1.1', 'Keep-Alive: max=100,Timeout = 30\r\n')?.idleSeconds).toBe(30)
  expect(head('1.1', 'Keep-Alive: soon\r\n')?.idleSeconds).toBe(-1)
})
