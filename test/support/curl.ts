/** Runs a curl line of a document against a port, as its reader would: the words are split like a shell's. */
import { request } from 'node:http'

export interface CurlAnswer {
  readonly status: number
  readonly type: string
  readonly text: string
  readonly json: unknown
}

/** Words of a shell line: quotes group, a backslash at the end of a line joins it with the next. */
export function words(line: string): string[] {
  const joined = line.replaceAll('\\\n', ' ')
  return [...joined.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) =>
    word.replaceAll(
      /"([^"]*)"|'([^']*)'/g,
      (_all, double?: string, single?: string) => double ?? single ?? '',
    ),
  )
}

interface CurlLine {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

export function parseCurl(line: string): CurlLine {
  const [command, ...rest] = words(line)
  if (command !== 'curl') throw new Error(`a line must begin with curl, got ${line}`)
  const headers: Record<string, string> = {}
  let [method, path, body]: [string | null, string, string | null] = [null, '', null]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '-X') method = rest.shift() ?? ''
    else if (word === '-d' || word === '--data-binary') body = rest.shift() ?? ''
    else if (word === '-H') {
      const [, name = '', value = ''] = /^([^:]+): *(.*)$/.exec(rest.shift() ?? '') ?? []
      headers[name.toLowerCase()] = value
    } else if (/^https?:/.test(word)) path = word.replace(/^https?:\/\/[^/]+/, '')
    else if (!/^-[sSgN]+$/.test(word)) throw new Error(`${word} is not known here: ${line}`)
  }
  return { method: method ?? (body === null ? 'GET' : 'POST'), path, headers, body }
}

/** Sends the request of a curl line to a port of this machine, its path untouched. */
export function runCurl(line: string, port: number): Promise<CurlAnswer> {
  const { method, path, headers, body } = parseCurl(line)
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, method, path, headers, agent: false, timeout: 10_000 })
    call.on('timeout', () => call.destroy(new Error(`no answer to ${line}`)))
    call.on('error', reject)
    call.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        const type = response.headers['content-type'] ?? ''
        const json: unknown = type.startsWith('application/json') && text !== '' ? JSON.parse(text) : null
        resolve({ status: response.statusCode ?? 0, type, text, json })
      })
    })
    call.end(body ?? undefined)
  })
}
