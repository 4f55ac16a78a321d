/** Uploads and answers that do not wait for each other: what each side sends, and what it waits for. */
import type { Random } from '../support/random.ts'

/** Behind the last byte of the request. */
export const WHOLE = Number.POSITIVE_INFINITY

/** What an upstream says when so many bytes of the body have reached it; 0 = the head has. */
export interface Saying {
  readonly at: number
  readonly text: string
}

export interface UploadPlan {
  readonly version: '1.0' | '1.1'
  /** The upstream's answer before was HTTP/1.0. */
  readonly old: boolean
  /** The client asks for a 100. */
  readonly expects: boolean
  readonly chunked: boolean
  readonly body: string
  /** Where chunks end in the body. */
  readonly chunks: readonly number[]
  readonly says: readonly Saying[]
  /** What the upstream does behind its last word: nothing, end its side, close, reset. */
  readonly ending: 'stay' | 'end' | 'close' | 'reset'
  /** It reads nothing from its last word on. */
  readonly deaf: boolean
  /** After so many bytes of the body the client waits for all that was said until there. */
  readonly stops: readonly number[]
  readonly leaves: { readonly at: number; readonly how: 'end' | 'destroy' | 'reset' } | null
  /** Who was answered instead of told to go on keeps the body. */
  readonly obeys: boolean
  /** Another request right behind the body, or after the answer. */
  readonly second: 'none' | 'behind' | 'after'
}

/** Whoever reads a body as requests finds some. */
const poison = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
const lengths = [1, 5, 60, 1000, 1000, 5000, 20_000, 70_000]
/** Still under way when the answer comes; above what is thrown away behind it; above all buffers between. */
const largeLengths = [400_000, 400_000, 1_300_000, 8_000_000]

const interims = [
  ...[
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 100 Go On\r\nX-I: 1\r\n\r\n',
  ],
  ...['HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n', 'HTTP/1.1 102 Processing\r\n\r\n'],
]

const statuses = ['200 OK', '413 Content Too Large', '401 Unauthorized', '417 Expectation Failed', '500 Oh']
const closes = ['', '', 'Connection: close\r\n', 'Connection: keep-alive\r\n']

interface Final {
  readonly text: string
  /** It ends with the connection alone. */
  readonly open: boolean
}

function finalOf(random: Random): Final {
  const head = `HTTP/1.1 ${random.pick(statuses)}\r\nX-Mark: m\r\n${random.pick(closes)}`
  const body = 'answer '.repeat(random.once(8) ? 20_000 : random.below(20))
  const length = `Content-Length: ${body.length}\r\n\r\n`
  const size = body.length.toString(16)
  const chunks = `${body === '' ? '' : `${size}\r\n${body}\r\n`}0\r\n`
  return random.pick<Final>([
    { text: `${head}${length}${body}`, open: false },
    { text: `${head}${length}${body}`, open: false },
    { text: `${head}${length}${body}`.replace('HTTP/1.1', 'HTTP/1.0'), open: false },
    { text: `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}\r\n`, open: false },
    { text: `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}X-T: u\r\n\r\n`, open: false },
    { text: `${head}\r\n${body}`, open: true },
    { text: `HTTP/1.1 204 No Content\r\nX-Mark: m\r\n${random.pick(closes)}\r\n`, open: false },
  ])
}

/** In one to three parts. */
function partsOf(random: Random, text: string): string[] {
  const cuts = Array.from({ length: random.pick([0, 0, 1, 2]) }, () => random.below(text.length + 1))
  const borders = [0, ...cuts.sort((a, b) => a - b), text.length]
  return borders.slice(1).map((border, at) => text.slice(borders[at], border))
}

type Side = Pick<UploadPlan, 'says' | 'ending' | 'deaf'>

function upstreamSide(random: Random, points: readonly number[], expects: boolean): Side {
  const count = random.pick(expects ? [0, 1, 1, 1, 2, 3] : [0, 0, 0, 1, 2])
  const first = Array.from({ length: count }, () => random.pick(interims))
  const { text, open } = finalOf(random)
  const broken = random.once(7)
  const shown = broken ? text.slice(0, random.pick([0, random.below(text.length)])) : text
  const words = [...first, ...partsOf(random, shown)]
  const times = words.map(() => random.pick([...points, 0, WHOLE, WHOLE])).sort((a, b) => a - b)
  const early = random.once(2)
  const says = words.map((word, at) => ({ at: early && at < count ? 0 : (times[at] as number), text: word }))
  // Whether a close with unread input is an end or a reset is up to chance: both must show the same.
  const endings = open ? (['end', 'reset'] as const) : (['end', 'close', 'reset'] as const)
  const some = open && !broken ? 'end' : random.pick<UploadPlan['ending']>(endings)
  const ending = open || broken || random.once(2) ? some : 'stay'
  // Who reads nothing must not let the connection be used again.
  const closing = ending !== 'stay' || /^Connection: close\r$/m.test(text)
  return { says, ending, deaf: closing && random.once(3) }
}

export function uploadPlan(random: Random): UploadPlan {
  const version = random.once(12) ? '1.0' : '1.1'
  const chunked = version === '1.1' && random.once(2)
  const size = random.pick(random.once(12) ? largeLengths : lengths)
  const length = chunked && random.once(8) ? 0 : size
  const points = [0, Math.min(1, length), length >> 1, Math.max(0, length - 1), length]
  const expects = random.once(2)
  const body = poison.repeat(Math.ceil(length / poison.length)).slice(0, length)
  const ends = Array.from({ length: random.below(4) }, () => 1 + random.below(length))
  const waits = expects && !random.once(4) ? [0] : []
  const more = random.once(2) ? [random.pick(points)] : []
  const how = random.pick(['end', 'destroy', 'reset'] as const)
  return {
    ...{ version, chunked, expects, body },
    old: random.once(6),
    chunks: length === 0 ? [] : [...new Set([...ends, length])].sort((a, b) => a - b),
    ...upstreamSide(random, points, expects),
    stops: [...new Set([...waits, ...more])].sort((a, b) => a - b),
    leaves: random.once(8) ? { at: random.pick(points), how } : null,
    obeys: random.once(2),
    second: version === '1.0' ? 'none' : random.pick(['none', 'behind', 'after', 'after']),
  }
}

/** The bytes of the request, and where in them so many bytes of the body have passed. */
export interface Written {
  readonly text: string
  offset(bodyBytes: number): number
}

export function write({ version, expects, chunked, body, chunks }: UploadPlan): Written {
  const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
  const expect = expects ? 'Expect: 100-continue\r\n' : ''
  const head = `POST /upload HTTP/${version}\r\nHost: a.test\r\n${expect}${framing}\r\n\r\n`
  if (!chunked) {
    const text = head + body
    return { text, offset: (bytes) => Math.min(head.length + bytes, text.length) }
  }
  let text = head
  const starts: { from: number; to: number; raw: number }[] = []
  for (const [at, to] of chunks.entries()) {
    const from = chunks[at - 1] ?? 0
    text += `${(to - from).toString(16)}${at % 2 === 1 ? ';x=y' : ''}\r\n`
    starts.push({ from, to, raw: text.length })
    text += `${body.slice(from, to)}\r\n`
  }
  text += '0\r\nX-T: u\r\n\r\n'
  const offset = (bytes: number): number => {
    if (bytes === WHOLE) return text.length
    const chunk = bytes === 0 ? undefined : starts.find(({ to }) => bytes <= to)
    return chunk === undefined ? head.length : chunk.raw + bytes - chunk.from
  }
  return { text, offset }
}
