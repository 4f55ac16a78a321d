/** A browser that uses a page through the gateway: what its script saw is in the page at the end. */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { onEnd } from '../support/cleanup.ts'
import { startThread } from '../support/data-thread.ts'
import { tempDir } from '../support/files.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const candidates = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
const browser = candidates.find((name) => spawnSync(name, ['--version']).status === 0)

/** A browser that takes longer hangs. */
const BROWSER_MS = 20_000
const UPLOAD_BYTES = 1_000_000
const FETCHES = 20
const EVENTS = 3
const text = 'compressed, as most answers to browsers are. '.repeat(500)
const pixels =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** The image is not answered before the script says that it is done: the page is complete then. */
const page = `<!doctype html><title>through the gateway</title>
<img src="/held"><pre id="seen"></pre><script>
const seen = {}
const read = async (path, options) => (await fetch(path, options)).text()
const image = () => new Promise((resolve) => {
  const pixel = new Image()
  pixel.onload = () => resolve(pixel.naturalWidth)
  pixel.onerror = () => resolve('broken')
  pixel.src = '/pixel'
})
const events = () => new Promise((resolve) => {
  const all = []
  const source = new EventSource('/events')
  source.onerror = () => resolve('broken')
  source.onmessage = async ({ data }) => {
    all.push(data)
    if (all.length < ${EVENTS}) return void read('/next')
    source.close()
    resolve(all)
  }
})
const upload = () => {
  const bytes = Uint8Array.from({ length: ${UPLOAD_BYTES} }, (_, at) => (at * 7) % 251)
  return read('/upload', { method: 'POST', body: new Blob([bytes]) })
}
const work = async () => {
  seen.fetches = []
  for (let at = 0; at < ${FETCHES}; at++) seen.fetches.push(await read('/number/' + at))
  seen.upload = await upload()
  seen.text = (await read('/text')).length
  seen.first = await read('/tagged', { cache: 'no-cache' })
  seen.again = await read('/tagged', { cache: 'no-cache' })
  seen.cookies = [document.cookie, await read('/cookies')]
  seen.image = await image()
  seen.events = await events()
}
work().catch((error) => { seen.error = String(error) }).then(() => {
  document.getElementById('seen').textContent = JSON.stringify(seen)
  fetch('/done')
})
</script>`

const pixel = Buffer.from(pixels, 'base64')
const bytes = Uint8Array.from({ length: UPLOAD_BYTES }, (_, at) => (at * 7) % 251)

function sendText(request: IncomingMessage, response: ServerResponse): void {
  const zips = /\bgzip\b/.test(String(request.headers['accept-encoding']))
  if (!zips) return void response.writeHead(406).end()
  const zipped = gzipSync(text)
  response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'text/plain' })
  // In chunks.
  response.write(zipped.subarray(0, 50))
  response.end(zipped.subarray(50))
}

function sendPage(response: ServerResponse): void {
  const cookies = ['plain=1; Path=/', 'hidden=2; Path=/; HttpOnly']
  response.writeHead(200, { 'content-type': 'text/html', 'set-cookie': cookies }).end(page)
}

function sendPixel(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'image/png' }).end(pixel)
}

function sendDigest(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256')
  request.on('data', (chunk: Buffer) => hash.update(chunk))
  request.on('end', () => response.end(hash.digest('hex')))
}

/** What the page asks for. */
class Site {
  /** Statuses of what has a tag. */
  readonly tagged: number[] = []
  /** The browser has left before the end of the events. */
  left = false
  #held: ServerResponse | null = null
  #events: ServerResponse | null = null
  #count = 0

  answer(path: string, request: IncomingMessage, response: ServerResponse): void {
    if (path === '/upload') return sendDigest(request, response)
    request.resume()
    if (path === '/') sendPage(response)
    else if (path.startsWith('/number/')) response.end(`number ${path.slice(8)}`)
    else if (path === '/cookies') response.end(request.headers.cookie)
    else if (path === '/pixel') sendPixel(response)
    else if (path === '/text') sendText(request, response)
    else if (path === '/tagged') this.#sendTagged(request, response)
    else if (path === '/events') this.#sendEvents(response)
    else if (path === '/next') this.#sendNext(response)
    else if (path === '/held') this.#held = response
    else if (path === '/done') this.#end(response)
    else response.writeHead(404).end()
  }

  #sendTagged(request: IncomingMessage, response: ServerResponse): void {
    const known = request.headers['if-none-match'] === '"one"'
    this.tagged.push(known ? 304 : 200)
    response.writeHead(known ? 304 : 200, { etag: '"one"' }).end(known ? undefined : 'tagged')
  }

  #sendEvents(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.on('close', () => {
      this.left = !response.writableFinished
    })
    this.#events = response
    this.#sendEvent()
  }

  /** Each comes when the one before was seen: none waits for the end of the answer. */
  #sendNext(response: ServerResponse): void {
    response.end()
    this.#sendEvent()
  }

  #sendEvent(): void {
    this.#events?.write(`data: event ${this.#count++}\n\n`)
  }

  #end(response: ServerResponse): void {
    response.end()
    if (this.#held !== null) sendPixel(this.#held)
  }
}

/** The page at a port of this machine, as it is when it is complete. */
async function pageAt(port: number, program: string): Promise<string> {
  const options = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync']
  // Nothing but this machine is asked for anything.
  const alone = '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'
  const folder = `--user-data-dir=${await tempDir()}`
  const args = [...options, ...quiet, alone, folder, '--dump-dom', `http://127.0.0.1:${port}/`]
  // A group of its own: it has many processes.
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  const kill = () => {
    try {
      process.kill(-(child.pid as number), 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  const timer = setTimeout(kill, BROWSER_MS)
  onEnd(kill)
  let dom = ''
  child.stdout.on('data', (chunk: Buffer) => {
    dom += chunk.toString()
  })
  await once(child, 'close')
  clearTimeout(timer)
  return dom
}

test.skipIf(browser === undefined)(
  `a page with fetches, an upload, events, an image, cookies, a tag (needs ${candidates.join(' or ')})`,
  async () => {
    const site = new Site()
    const upstream = await startUpstream((request, response) =>
      site.answer(request.url ?? '', request, response),
    )
    const thread = await startThread(upstream)
    const dom = await pageAt(thread.port, browser as string)
    const [, shown = '{}'] = /<pre id="seen">(.*?)<\/pre>/s.exec(dom) ?? []
    expect(JSON.parse(shown)).toEqual({
      fetches: Array.from({ length: FETCHES }, (_, at) => `number ${at}`),
      upload: createHash('sha256').update(bytes).digest('hex'),
      text: text.length,
      first: 'tagged',
      again: 'tagged',
      cookies: ['plain=1', 'plain=1; hidden=2'],
      image: 1,
      events: Array.from({ length: EVENTS }, (_, at) => `event ${at}`),
    })
    expect(site.tagged).toEqual([200, 304])
    await until(() => site.left, { what: 'the events that nobody reads any more end at the upstream' })
    // Browsers open up to six connections to a place.
    expect(upstream.accepted).toBeLessThanOrEqual(6)
    await thread.quiet()
    expect(thread.warnings).toEqual([])
  },
)
