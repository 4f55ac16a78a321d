/** A gateway as a child process: started from a configuration, known by its log lines, stopped by signals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

export interface LogLine {
  readonly level?: number | string
  readonly msg?: string
  readonly listener?: string
  readonly host?: string
  readonly port?: number
  readonly [field: string]: unknown
}

export interface StartOptions {
  configFile: string
  env?: Readonly<Record<string, string | undefined>>
  /** Time for both listeners to accept. */
  within_ms?: number
  /** Another program that starts a gateway, with the same arguments. */
  program?: string
}

/** Log lines kept; the oldest give way. */
const linesMax = 20_000

/** The command line beside this file: TypeScript in a checkout, JavaScript in an installed package. */
const entry = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../src/main.ts' : '../src/main.js', import.meta.url),
)

/** A gateway that ended before it listened; the message holds what it printed. */
export class GatewayStartError extends Error {
  override readonly name = 'GatewayStartError'
  readonly exitCode: number | null

  constructor(message: string, exitCode: number | null) {
    super(message)
    this.exitCode = exitCode
  }
}

export class GatewayProcess {
  readonly child: ChildProcess
  /** Resolves with the exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>
  readonly #lines: string[] = []
  readonly #ports = new Map<string, number>()
  #ended = false
  #onLine: () => void = () => {}

  private constructor({ configFile, env, program = entry }: StartOptions) {
    this.child = spawn(process.execPath, [program, 'start', '--config', configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    this.exited = new Promise((resolve) => {
      // `close`, not `exit`: by then every line was read.
      this.child.once('close', (code) => {
        this.#ended = true
        resolve(code)
        this.#onLine()
      })
    })
    for (const stream of [this.child.stdout, this.child.stderr]) this.#read(stream as Readable)
  }

  /** Resolves when the proxy and the admin port accept; rejects with `GatewayStartError`. */
  static async start(options: StartOptions): Promise<GatewayProcess> {
    const gateway = new GatewayProcess(options)
    await gateway.#listening(options.within_ms ?? 20_000)
    return gateway
  }

  get pid(): number {
    return this.child.pid as number
  }
  get port(): number {
    return this.#ports.get('proxy') as number
  }
  get adminPort(): number {
    return this.#ports.get('admin') as number
  }
  get running(): boolean {
    return !this.#ended
  }

  /** Everything it printed, as text. */
  output(): string {
    return this.#lines.join('\n')
  }

  /** Its log lines, parsed; what is not JSON is left out. */
  logs(): LogLine[] {
    return this.#lines.map(parseLine).filter((line) => line !== null)
  }

  /** Sends a signal and resolves with the exit code; SIGKILL when that takes longer than `within_ms`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', within_ms = 45_000): Promise<number | null> {
    if (this.#ended) return this.exited
    this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), within_ms)
    try {
      return await this.exited
    } finally {
      clearTimeout(timer)
    }
  }

  #read(stream: Readable): void {
    createInterface({ input: stream }).on('line', (text) => {
      this.#lines.push(text)
      if (this.#lines.length > linesMax) this.#lines.shift()
      const line = parseLine(text)
      if (line?.msg !== 'listening' || typeof line.port !== 'number') return
      this.#ports.set(String(line.listener), line.port)
      this.#onLine()
    })
  }

  async #listening(within_ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const reason = await new Promise<string | null>((resolve) => {
      this.#onLine = () => {
        if (this.#ports.has('proxy') && this.#ports.has('admin')) resolve(null)
        else if (this.#ended) resolve('ended before it listened')
      }
      this.child.once('error', (error) => resolve(`cannot be started: ${error.message}`))
      timer = setTimeout(() => resolve(`did not listen within ${within_ms} ms`), within_ms)
    })
    clearTimeout(timer)
    this.#onLine = () => {}
    if (reason === null) return
    const code = await this.stop('SIGKILL')
    throw new GatewayStartError(`the gateway ${reason}:\n${this.output()}`, code)
  }
}

function parseLine(text: string): LogLine | null {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text) as LogLine
  } catch {
    return null
  }
}
