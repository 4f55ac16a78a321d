/** Programs that people use, on either side: curl, fetch, Python's client and server, nginx. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { onEnd } from '../support/cleanup.ts'
import { startThread } from '../support/data-thread.ts'
import { tempDir } from '../support/files.ts'
import { freePorts, listens } from '../support/ports.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const run = promisify(execFile)

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0
const withCurl = test.skipIf(!has('curl'))
const withPython = test.skipIf(!has('python3'))
const withNginx = test.skipIf(spawnSync('nginx', ['-v']).status !== 0)

const large = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7) % 251))
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Says what it got: method, framing, and the digest of the body. */
async function startMirror() {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => {
      const { body, method, headers } = upstream.received.at(-1) ?? {}
      const framing = headers?.['transfer-encoding'] ?? headers?.['content-length'] ?? 'none'
      response.end(`${method} ${framing} ${digest(body ?? Buffer.alloc(0))}`)
    })
  })
  return { upstream, thread: await startThread(upstream) }
}

withCurl(
  'curl: uploads with a length, in chunks, and with Expect, over one connection (needs curl)',
  async () => {
    const { upstream, thread } = await startMirror()
    const file = join(await tempDir(), 'large')
    await writeFile(file, large)
    const url = `http://127.0.0.1:${thread.port}/a`
    const step = ['--http1.1', '-s', '-S', '--max-time', '10']
    const { stdout } = await run('curl', [
      ...[...step, url, '--next', ...step, '-T', file, '-H', 'Expect: 100-continue', '-w', '\\n', url],
      ...['--next', ...step, '-X', 'POST', '-T', file, '-H', 'Transfer-Encoding: chunked', url],
      ...['--next', ...step, '-I', '-w', '%{http_code} %{num_connects}', '-o', '/dev/null', url],
    ])
    const nothing = digest(Buffer.alloc(0))
    expect(stdout).toBe(`GET none ${nothing}PUT 300000 ${digest(large)}\nPOST chunked ${digest(large)}200 0`)
    expect(upstream.accepted).toBe(1)
  },
)

const pythonClient = `
import hashlib, http.client, sys
large = bytes((at * 7) % 251 for at in range(300000))
call = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=10)
def say(*args, **more):
    call.request(*args, **more)
    answer = call.getresponse()
    print(answer.status, answer.read().decode())
say('GET', '/a')
say('POST', '/a', body=large)
say('PUT', '/a', body=(large[at:at + 7000] for at in range(0, 300000, 7000)), encode_chunked=True,
    headers={'Transfer-Encoding': 'chunked'})
say('HEAD', '/a')
say('DELETE', '/a')
`

withPython("Python's http.client: one connection, all framings (needs python3)", async () => {
  const { upstream, thread } = await startMirror()
  const { stdout } = await run('python3', ['-c', pythonClient, String(thread.port)], { timeout: 20_000 })
  const nothing = digest(Buffer.alloc(0))
  const lines = [
    `200 GET none ${nothing}`,
    `200 POST 300000 ${digest(large)}`,
    `200 PUT chunked ${digest(large)}`,
  ]
  expect(stdout.split('\n')).toEqual([...lines, '200 ', `200 DELETE none ${nothing}`, ''])
  expect(upstream.accepted).toBe(1)
})

test('fetch: streams both ways, and aborts', async () => {
  const { upstream, thread } = await startMirror()
  const url = `http://127.0.0.1:${thread.port}/a`
  const body = ReadableStream.from([large.subarray(0, 1000), large.subarray(1000)])
  const answer = await fetch(url, { method: 'POST', body, duplex: 'half' } as RequestInit)
  expect(await answer.text()).toBe(`POST chunked ${digest(large)}`)
  upstream.handler = (_request, response) => void response.write('the beginning')
  const aborting = new AbortController()
  const cut = await fetch(url, { signal: aborting.signal })
  const reader = cut.body?.getReader()
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('the beginning')
  aborting.abort()
  await until(() => upstream.sockets.size === 0, { what: 'the upstream connection is closed with it' })
})

/** A folder with files to serve. */
async function servedFolder(): Promise<string> {
  const folder = await tempDir()
  await mkdir(join(folder, 'files'))
  await writeFile(join(folder, 'files', 'large.bin'), large)
  await writeFile(join(folder, 'files', 'empty.txt'), '')
  return folder
}

/** What any server of files must come through with. */
async function expectFiles(port: number): Promise<void> {
  const client = new Client(port)
  const whole = await client.send({ path: '/large.bin' })
  expect([whole.status, digest(whole.body)]).toEqual([200, digest(large)])
  const head = await client.send({ method: 'HEAD', path: '/large.bin' })
  expect([head.status, head.headers['content-length'], head.text]).toEqual([200, '300000', ''])
  expect((await client.send({ path: '/empty.txt' })).text).toBe('')
  expect((await client.send({ path: '/missing' })).status).toBe(404)
  const since = ['If-Modified-Since', String(whole.headers['last-modified'])]
  expect((await client.send({ path: '/large.bin', headers: since })).status).toBe(304)
  const posted = await client.send({ method: 'POST', path: '/large.bin', body: 'x'.repeat(100_000) })
  expect([405, 501]).toContain(posted.status)
  // After it, the next request is answered its own.
  expect((await client.send({ path: '/large.bin' })).body.length).toBe(large.length)
}

async function startServer(port: number, program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: 'ignore' })
  const closed = new Promise((resolve) => child.once('close', resolve))
  onEnd(async () => {
    child.kill('SIGKILL')
    await closed
  })
  await until(() => listens(port), { what: `${program} listens` })
}

withPython("Python's http.server, with and without keep-alive (needs python3)", async () => {
  const files = join(await servedFolder(), 'files')
  const ports = await freePorts(2)
  for (const [at, version] of ['HTTP/1.0', 'HTTP/1.1'].entries()) {
    const port = ports[at] as number
    const bind = ['--bind', '127.0.0.1', '--directory', files, '--protocol', version]
    await startServer(port, 'python3', ['-m', 'http.server', String(port), ...bind])
    const thread = await startThread({ url: `http://127.0.0.1:${port}` })
    await expectFiles(thread.port)
    expect(thread.warnings).toEqual([])
  }
})

withNginx('nginx: files, ranges, compressed chunks (needs nginx)', async () => {
  const folder = await servedFolder()
  const [port = 0] = await freePorts(1)
  await writeFile(join(folder, 'files', 'text.json'), JSON.stringify({ text: 'a'.repeat(5000) }))
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
     http { access_log off; client_body_temp_path ${folder}; gzip on; gzip_proxied any;
     gzip_types application/json;
     types { application/json json; }
     server { listen 127.0.0.1:${port}; root ${folder}/files; } }`,
  )
  await startServer(port, 'nginx', [
    '-p',
    folder,
    '-e',
    `${folder}/error.log`,
    '-c',
    join(folder, 'nginx.conf'),
  ])
  const thread = await startThread({ url: `http://127.0.0.1:${port}` })
  await expectFiles(thread.port)
  const client = new Client(thread.port)
  const part = await client.send({ path: '/large.bin', headers: ['Range', 'bytes=10-19'] })
  expect([part.status, part.body]).toEqual([206, large.subarray(10, 20)])
  const zipped = await client.send({ path: '/text.json', headers: ['Accept-Encoding', 'gzip'] })
  expect([zipped.headers['content-encoding'], zipped.headers['transfer-encoding']]).toEqual([
    'gzip',
    'chunked',
  ])
  expect(thread.warnings).toEqual([])
})
