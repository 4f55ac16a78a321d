/** Processes of a run: started on one core, watched until they answer, ended by their own id. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { taskset } from './machine.ts'

export interface Child {
  readonly pid: number
  readonly name: string
  readonly logFile: string
  ended(): boolean
  /** SIGTERM, after three seconds SIGKILL. */
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

/** Command line that runs `command` on the given cores only; taskset execs, so the pid stays the same. */
export function pinned(cores: string, command: string, args: readonly string[]): [string, string[]] {
  return [taskset, ['-c', cores, command, ...args]]
}

export function startChild(start: {
  name: string
  cores: string
  command: string
  args: readonly string[]
  folder: string
  env?: NodeJS.ProcessEnv
}): Child {
  const logFile = `${start.folder}/${start.name}.log`
  const log = openSync(logFile, 'a')
  const [command, args] = pinned(start.cores, start.command, start.args)
  const child = spawn(command, args, { stdio: ['ignore', log, log], env: { ...process.env, ...start.env } })
  closeSync(log)
  running.add(child)
  const exit = new Promise<void>((resolve) => {
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  }).then(() => void running.delete(child))
  return {
    pid: child.pid ?? 0,
    name: start.name,
    logFile,
    ended: () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined,
    stop: async () => {
      child.kill('SIGTERM')
      const killer = setTimeout(() => child.kill('SIGKILL'), 3000)
      await exit
      clearTimeout(killer)
    },
  }
}

/** Ends a child that did not become what it should, and says what it wrote last, its stack left out. */
async function failed(child: Child, what: string): Promise<Error> {
  await child.stop()
  const lines = readFileSync(child.logFile, 'utf8').trim().split('\n')
  const said = lines
    .filter((line) => !line.trim().startsWith('at '))
    .slice(-2)
    .join(' / ')
  return new Error(`${child.name} ${what}: ${said.slice(0, 600)}`)
}

/** The first line that a child wrote, as JSON. */
export async function firstLine<T>(child: Child): Promise<T> {
  for (let tries = 0; tries < 200 && !child.ended(); tries += 1) {
    const text = readFileSync(child.logFile, 'utf8')
    if (text.includes('\n')) return JSON.parse(text.slice(0, text.indexOf('\n'))) as T
    await wait(25)
  }
  throw await failed(child, 'did not start')
}

/** Resolves when the child answers a GET with 200. */
export async function untilAnswers(child: Child, url: string): Promise<void> {
  for (let tries = 0; tries < 200 && !child.ended(); tries += 1) {
    try {
      const response = await fetch(url, {
        signal: AbortSignal.timeout(1000),
        headers: { connection: 'close' },
      })
      await response.arrayBuffer()
      if (response.ok) return
    } catch {
      // not listening yet
    }
    await wait(50)
  }
  throw await failed(child, 'does not answer')
}

/** Runs a load generator to its end and returns what it printed. */
export function output(start: {
  cores: string
  command: string
  args: readonly string[]
  env?: NodeJS.ProcessEnv
}): Promise<string> {
  const [command, args] = pinned(start.cores, start.command, start.args)
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...start.env },
    })
    running.add(child)
    let text = ''
    let complaint = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => {
      running.delete(child)
      if (code === 0) resolve(text)
      else reject(new Error(`${start.command} ended with ${code}: ${complaint.slice(-500)}`))
    })
  })
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Whether a TCP connection to the port is refused. */
export function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', () => resolve(true))
  })
}
