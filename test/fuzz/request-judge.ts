/** What the judge reads in the bytes of a client, and what of it may reach an upstream. */
import {
  type Body,
  type Field,
  type Found,
  type Framing,
  optionsOf,
  readBody,
  readFields,
  readFraming,
  readLines,
  token,
  valuesOf,
} from './framer.ts'
import { judgePath } from './path-judge.ts'

export interface Judged extends Found {
  start: number
  /** The head was read, so that what is wrong or missing is in the body. */
  inBody: boolean
  method: string
  /** As it stands in the request line. */
  target: string
  version: string
  fields: Field[]
  framing: Framing
  body: string
  trailers: Field[]
  /** Statuses of the answers that refuse it; empty: it must be forwarded. */
  refusals: number[]
  /** Authority and target that the upstream gets. */
  host: string
  path: string
  /** The collection that it belongs to. */
  route: string
}

/** What a head of this size is surely taken, and what beyond it is surely refused. */
const bounds = { sureBytes: 24_000, refusedBytes: 40_000, headerCount: 200 }

const allowed = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const lineForm = new RegExp(`^(${token}) ([^ ]+) HTTP/([0-9])\\.([0-9])$`)
const absoluteForm = /^(https?):\/\/([^/?]*)(.*)$/i
/** RFC 3986 §3.2.2, RFC 9110 §7.2: no user, a port of digits. */
const hostForm = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::([0-9]*))?$/

function judgeHost(host: string, judged: Judged): string | null {
  if (host === '') judged.doubts.push('an empty Host')
  else {
    const found = hostForm.exec(host)
    if (found === null) return `a host ${JSON.stringify(host)}`
    if (/%(?![0-9A-Fa-f]{2})/.test(host)) judged.doubts.push('a host with a bad escape')
    if (Number(found[1] ?? 0) > 65_535) judged.doubts.push('a port beyond all ports')
    if (host.length > 250 || host.startsWith('[')) judged.doubts.push('a long host, or an address')
  }
  return null
}

/** RFC 9112 §3.2: the forms of a target, and exactly one Host; or what is wrong. */
function judgeTarget(judged: Judged): string | null {
  const { target, method, version, doubts } = judged
  // RFC 3986 §3.5: a fragment never goes over the wire.
  if (target.includes('#') || /[\x00-\x20\x7f]/.test(target)) return 'a target that is none'
  if (/[^\x21-\x7e]|["<>\\^`{|}]|%(?![0-9A-Fa-f]{2})/.test(target)) doubts.push('odd bytes in the target')
  const hosts = valuesOf(judged.fields, 'host')
  if (hosts.length > 1 || (hosts.length === 0 && version === '1.1')) return `${hosts.length} Host`
  const [host = ''] = hosts
  const wrong = hosts.length === 0 ? null : judgeHost(host, judged)
  if (wrong !== null) return wrong
  judged.host = host
  judged.path = target
  if (target.startsWith('/')) return null
  if (target === '*' && method === 'OPTIONS') {
    doubts.push('the asterisk form')
    return null
  }
  const [, , authority = '', rest = ''] = absoluteForm.exec(target) ?? []
  if (authority === '' || judgeHost(authority, judged) !== null) return 'a target in no form that is taken'
  // RFC 9112 §3.2.2: the target's authority counts; who sends two hosts may be refused.
  if (hosts.length > 0 && authority.toLowerCase() !== host.toLowerCase()) doubts.push('two hosts')
  judged.host = authority
  judged.path = rest.startsWith('/') ? rest : `/${rest}`
  return null
}

/** What the gateway may refuse although it is well-formed, and with which answers. */
function judgePolicy(judged: Judged, headBytes: number): void {
  const { refusals, fields, version, doubts } = judged
  if (!allowed.has(judged.method)) refusals.push(405, 501)
  const expected = optionsOf(fields, 'expect')
  if (expected.some((one) => one !== '100-continue')) {
    if (version === '1.1') refusals.push(417)
    // RFC 9110 §10.1.1: from HTTP/1.0 it means nothing.
    else doubts.push('an expectation of HTTP/1.0')
  } else if (valuesOf(fields, 'expect').length > 1 || expected.length > 1) doubts.push('several Expect')
  else if (expected.length === 0 && valuesOf(fields, 'expect').length > 0) doubts.push('an empty Expect')
  if (fields.length > bounds.headerCount || headBytes > bounds.refusedBytes) refusals.push(431, 400, 414)
  else if (headBytes > bounds.sureBytes) doubts.push('a large head')
}

function judgeLine(judged: Judged, line: string): string | null {
  const [, method, target, major, minor] = lineForm.exec(line) ?? []
  if (method === undefined || target === undefined)
    return `a request line ${JSON.stringify(line.slice(0, 80))}`
  judged.method = method
  judged.target = target
  judged.version = `${major}.${minor}`
  return null
}

/** What is wrong with a head whose fields were read, or null. */
function judgeHead(judged: Judged, headBytes: number): string | null {
  const { version, fields, doubts } = judged
  judgePolicy(judged, headBytes)
  // RFC 9112 §2.3: no other version is framed in a way that is known here.
  if (version !== '1.1' && version !== '1.0') return `version ${version}`
  const framing = readFraming(fields, version, doubts)
  if (typeof framing === 'string') return framing
  judged.framing = framing
  const target = judgeTarget(judged)
  if (target !== null) return target
  const [path = ''] = judged.path.split('?')
  const { route, wrong, doubt } = judgePath(path)
  if (doubt !== null) doubts.push(doubt)
  judged.route = route
  return wrong
}

/** Answers to what is bad: 400, or whatever else is wrong with it too. */
const badAnswers: readonly (readonly [RegExp, readonly number[]])[] = [
  [/^version/, [505]],
  [/coding/, [501]],
  [/beyond all|chunk/, [413]],
  // Too many may stand before the one that is none.
  [/^no field/, [431]],
]

function badly(judged: Judged, why: string): Judged {
  const more = badAnswers.flatMap(([form, statuses]) => (form.test(why) ? statuses : []))
  return { ...judged, state: 'bad', why, refusals: [400, ...more, ...judged.refusals] }
}

/** The request at `at`; `null` when nothing is there. */
export function readRequest(text: string, at: number): Judged | null {
  let start = at
  // RFC 9112 §2.2: empty lines before a request are passed over.
  while (text.startsWith('\r\n', start)) start += 2
  if (start === text.length) return null
  const doubts = start > at ? ['empty lines before the request'] : []
  const head = readLines(text, start)
  const judged: Judged = {
    ...{ state: 'whole', why: '', doubts, end: head.end, start, inBody: false, method: '', target: '' },
    ...{ version: '', fields: [], framing: { kind: 'none' }, body: '', trailers: [], refusals: [] },
    ...{ host: '', path: '', route: '' },
  }
  if (head.state === 'bad') {
    // Bare line ends alone: nothing was asked yet.
    if (/^[\r\n]*$/.test(text.slice(start))) return { ...judged, state: 'unfinished', why: head.why }
    return badly(withMethod(judged, text.slice(start, start + 200)), head.why)
  }
  if (head.state === 'unfinished') return { ...judged, state: 'unfinished', why: head.why }
  const line = judgeLine(judged, head.lines[0] ?? '')
  const fields = readFields(head.lines.slice(1))
  if (typeof fields !== 'string') judged.fields = fields
  if (line === null || typeof fields !== 'string') judgePolicy(judged, 0)
  if (line !== null) return badly(withMethod(judged, head.lines[0] ?? ''), line)
  if (typeof fields === 'string') return badly(judged, fields)
  judged.refusals = []
  const wrong = judgeHead(judged, head.end - start)
  if (wrong !== null) return badly(judged, wrong)
  return withBody(judged, readBody(text, head.end, judged.framing))
}

/** A method that is not allowed may be seen before what is bad behind it. */
function withMethod(judged: Judged, line: string): Judged {
  const [, method = ''] = /^[\r\n]*(\S+) /.exec(line) ?? []
  const refusals = allowed.has(method) ? judged.refusals : [...judged.refusals, 405, 501]
  return { ...judged, method, refusals }
}

function withBody(judged: Judged, { state, why, end, body, trailers, doubts }: Body): Judged {
  const read = { ...judged, inBody: true, end, body, trailers, doubts: [...judged.doubts, ...doubts] }
  if (state === 'bad') return badly(read, why)
  return { ...read, state, why }
}

/** RFC 9112 §9.3: whether the client says that nothing comes after it. */
export function saysClose({ version, fields }: Pick<Judged, 'version' | 'fields'>): boolean {
  const options = optionsOf(fields, 'connection')
  return options.includes('close') || (version === '1.0' && !options.includes('keep-alive'))
}

/**
 * All requests in the bytes of a connection, in order; the last one may be unfinished or bad, and nothing
 * that comes after it, or after one that closes, is a request.
 */
export function readRequests(text: string): Judged[] {
  const requests: Judged[] = []
  for (let at = 0; ; ) {
    const request = readRequest(text, at)
    if (request === null) return requests
    requests.push(request)
    if (request.state !== 'whole' || saysClose(request)) return requests
    at = request.end
  }
}

/** RFC 9110 §7.6.1 and RFC 2616 §13.5.1; and what proxies claim, which is not believed of this client. */
const ended =
  /^(?:connection|keep-alive|proxy-connection|proxy-authorization|te|trailer|transfer-encoding|upgrade)$/
const claimed = /^(?:x-forwarded-.*|forwarded|x-real-ip|x-request-id)$/
/** A Connection header cannot take these away: they are the message itself. */
const kept = /^(?:content-length|transfer-encoding|host)$/

/** The client's fields as the upstream gets them, without what the gateway adds. */
export function endToEnd(judged: Judged): Field[] {
  const nominated = optionsOf(judged.fields, 'connection').filter((name) => !kept.test(name))
  const bodyless =
    judged.framing.kind === 'none' || (judged.framing.kind === 'length' && judged.framing.length === 0)
  return judged.fields.flatMap(([name, value]): Field[] => {
    const lower = name.toLowerCase()
    if (ended.test(lower) || claimed.test(lower) || nominated.includes(lower)) return []
    // RFC 9110 §10.1.1: nothing is expected without a body, nor by HTTP/1.0.
    if (lower === 'expect' && (bodyless || judged.version === '1.0')) return []
    return [[name, lower === 'host' ? judged.host : value]]
  })
}
