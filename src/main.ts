/** The command line: start, check, docs, demo, audit; exit codes as in the table of `--help`. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Loaded, LoadOptions } from './config/load.ts'
import { ConfigurationError, formatProblem, type Problem } from './config/problems.ts'
import { theGateway } from './contract/audit-trail.ts'
import type { ImportTarget } from './audit/import.ts'
import { StartError } from './contract/errors.ts'
import type { Gateway } from './gateway.ts'

const exitCodes = Object.freeze({
  fine: 0,
  wrongData: 1,
  wrongUsage: 2,
  cannotStart: 3,
  drainOverTime: 4,
  bug: 70,
})

/** A signal that comes again after this is meant: npm and a terminal deliver one signal twice. */
const SECOND_SIGNAL_MS = 1000

/** Time for the last log lines to be written after a stop. */
const FORGOTTEN_MS = 1000

const help = `Usage: mirrorgate [command] [options]

A reverse proxy that copies request and response payloads to security collectors.

Commands:
  start    run the gateway until a signal (the default)
  check    check a configuration: every problem at once, with its line
  docs     print what a configuration may hold, with the plugins that it names
  demo     play a gateway, an API and a collector on free ports of this machine
  audit    verify, export, import or back up the activity audit log

Options:
  --config FILE   configuration file, - for stdin (default: gateway.yaml)
  --help          this text, or that of a command: mirrorgate check --help
  --version       version of mirrorgate

Exit codes: 0 fine, 1 the configuration is wrong, 2 wrong usage, 3 cannot start, 4 a drain ran over its time.
`

const startHelp = `Usage: mirrorgate start [--config FILE]

Runs the gateway until SIGTERM or SIGINT: then it drains and ends. A second signal, a second later or more,
ends it at once. SIGHUP reads the configuration again.

  --config FILE   configuration file, - for stdin (default: gateway.yaml)
  --help          this text

Exit codes: 0 after a clean drain, 1 the configuration is wrong, 2 wrong usage, 3 cannot start,
4 a drain ran over its time.
`

const checkHelp = `Usage: mirrorgate check [--config FILE] [--json]

Prints every problem of a configuration, one per line: file:line:column path: rule, got value.
Warnings go to stderr and do not count.

  --config FILE   configuration file, - for stdin (default: gateway.yaml)
  --json          print one JSON object: ok, file, collections, mirrors, problems, warnings
  --help          this text

Exit codes: 0 fine, 1 the configuration is wrong, 2 wrong usage.
`

const docsHelp = `Usage: mirrorgate docs [--config FILE] [--schema]

Prints every key that a configuration may hold, as Markdown: those of the plugins that FILE names too.

  --config FILE   configuration file, - for stdin (default: gateway.yaml)
  --schema        print a JSON Schema instead, for editors to complete and check the file
  --help          this text

Exit codes: 0 fine, 1 a plugin of the configuration is wrong, 2 wrong usage.
`

/** Wrong usage, with the sentence for the person. */
class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Command = (args: string[]) => Promise<number>

const commands: Readonly<Record<string, Command>> = { start, check, docs, demo, audit }

async function main(args: string[]): Promise<number> {
  const [first = ''] = args
  const command = commands[first]
  if (command !== undefined && Object.hasOwn(commands, first)) return command(args.slice(1))
  if (first !== '' && !first.startsWith('-')) {
    throw new UsageError(
      `there is no command ${JSON.stringify(first)}, known are ${Object.keys(commands).join(', ')}`,
    )
  }
  if (args.includes('--help') || args.includes('-h')) return print(help)
  if (args.includes('--version') || args.includes('-v')) return print(`${version()}\n`)
  return start(args)
}

interface Options {
  readonly config: string
  readonly json: boolean
  readonly schema: boolean
  readonly help: boolean
}

function parse(args: string[], allowed: readonly ('config' | 'json' | 'schema')[]): Options {
  const all = { config: { type: 'string' }, json: { type: 'boolean' }, schema: { type: 'boolean' } } as const
  const chosen = Object.fromEntries(allowed.map((name) => [name, all[name]]))
  try {
    const { values } = parseArgs({ args, options: { ...chosen, help: { type: 'boolean', short: 'h' } } })
    return { config: 'gateway.yaml', json: false, schema: false, help: false, ...values }
  } catch (error) {
    throw new UsageError(sentence(error))
  }
}

/** The first sentence of what parseArgs throws, in the project's manner. */
function sentence(error: unknown): string {
  const [message = ''] = (error as Error).message.split(/\. |\n/)
  return message.charAt(0).toLowerCase() + message.slice(1)
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

function print(text: string): number {
  process.stdout.write(text)
  return exitCodes.fine
}

async function check(args: string[]): Promise<number> {
  const options = parse(args, ['config', 'json'])
  if (options.help) return print(checkHelp)
  const loaded = await load({ file: options.config, generation: 1 })
  endSoon()
  const summary = summarise(loaded, options.config)
  if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  else if (loaded.ok) {
    const { collections, mirrors, streams = 0 } = summary
    const more = streams === 0 ? '' : `, ${counted(streams, 'stream')}`
    process.stdout.write(`ok: ${counted(collections, 'collection')}, ${counted(mirrors, 'mirror')}${more}\n`)
    for (const warning of loaded.warnings) process.stderr.write(`warning: ${formatProblem(warning)}\n`)
  } else printProblems(loaded.problems, process.stdout)
  return loaded.ok ? exitCodes.fine : exitCodes.wrongData
}

function printProblems(problems: readonly Problem[], stream: NodeJS.WriteStream): number {
  for (const problem of problems) stream.write(`${formatProblem(problem)}\n`)
  return exitCodes.wrongData
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function summarise(loaded: Loaded, file: string) {
  return {
    ok: loaded.ok,
    file,
    collections: loaded.ok ? loaded.config.collections.length : 0,
    mirrors: loaded.ok ? loaded.config.mirrors.length : 0,
    // Only where there are any: scripts compare what was said before there were streams.
    ...(loaded.ok && loaded.config.streams.length > 0 && { streams: loaded.config.streams.length }),
    problems: loaded.ok ? [] : loaded.problems,
    warnings: loaded.ok ? loaded.warnings : [],
  }
}

async function docs(args: string[]): Promise<number> {
  const options = parse(args, ['config', 'schema'])
  if (options.help) return print(docsHelp)
  const { sinks, providers } = await import('../plugins/index.ts')
  const { loadPluginsOf } = await import('./config/load.ts')
  const loaded = await loadPluginsOf({ file: options.config, sinks, providers, generation: 1 })
  endSoon()
  if (!loaded.ok) return printProblems(loaded.problems, process.stdout)
  if (options.schema) {
    const { editorSchemaText } = await import('./config/editor-schema.ts')
    return print(editorSchemaText(loaded.plugins))
  }
  const { configurationPage } = await import('./config/reference-page.ts')
  return print(configurationPage(loaded.plugins))
}

async function demo(args: string[]): Promise<number> {
  const { runDemo } = await import('../demo/run.ts')
  return runDemo(args)
}

async function audit(args: string[]): Promise<number> {
  const command = await import('./audit/command.ts')
  if (args.includes('--help') || args.includes('-h')) return print(command.auditHelp)
  return command.audit(args, { target: adminPort, usage: (message) => new UsageError(message) })
}

/** Address and token of the gateway that runs with a configuration. */
async function adminPort(file: string): Promise<ImportTarget> {
  const loaded = await load({ file, generation: 1 })
  if (!loaded.ok) throw new StartError(loaded.problems.map(formatProblem).join('\n'))
  const { admin, data_dir } = loaded.config
  const host = ['0.0.0.0', '::'].includes(admin.host) ? '127.0.0.1' : admin.host
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${admin.port}`
  const client = admin.clients.find(({ role }) => role !== 'viewer')
  return client === undefined ? { url, tokenFile: `${data_dir}/admin-token` } : { url, token: client.token }
}

async function start(args: string[]): Promise<number> {
  const options = parse(args, ['config'])
  if (options.help) return print(startHelp)
  const plugins = await import('../plugins/index.ts')
  const loaded = await load({ file: options.config, generation: 1 })
  if (!loaded.ok) {
    endSoon()
    return printProblems(loaded.problems, process.stderr)
  }
  const signals = new Signals()
  const { startGateway } = await import('./gateway.ts')
  try {
    const gateway = await startGateway({ ...loaded, ...plugins })
    return await signals.obey(gateway)
  } catch (error) {
    if (error instanceof ConfigurationError) return printProblems(error.problems, process.stderr)
    if (!(error instanceof StartError)) throw error
    process.stderr.write(`mirrorgate: ${error.message}\n`)
    return exitCodes.cannotStart
  }
}

/** A handle that was forgotten, by a plugin for one, must not keep a finished command alive. */
function endSoon(): void {
  setTimeout(() => process.exit(), FORGOTTEN_MS).unref()
}

/** Imported by what needs it only: schemas and validators take longer to load than all else of a command. */
async function load(options: Omit<LoadOptions, 'sinks' | 'providers'>): Promise<Loaded> {
  const { sinks, providers } = await import('../plugins/index.ts')
  const { loadConfig } = await import('./config/load.ts')
  return loadConfig({ ...options, sinks, providers })
}

/** Signals from the first moment on: one that comes before the gateway stands is obeyed once it does. */
class Signals {
  readonly #stopWanted: Promise<void>
  #reloadWanted = false
  #reload: () => void = () => {
    this.#reloadWanted = true
  }
  #kill: () => void = () => {}

  constructor() {
    this.#stopWanted = new Promise((resolve) => {
      let first: number | null = null
      const stop = () => {
        if (first === null) {
          first = performance.now()
          resolve()
        } else if (performance.now() - first >= SECOND_SIGNAL_MS) {
          this.#kill()
          process.exit(exitCodes.drainOverTime)
        }
      }
      process.on('SIGTERM', stop)
      process.on('SIGINT', stop)
    })
    process.on('SIGHUP', () => this.#reload())
  }

  /** Resolves with the exit code when the gateway has stopped. */
  async obey(gateway: Gateway): Promise<number> {
    this.#kill = () => gateway.kill()
    // Its result is in the log and in the status; only a bug rejects.
    this.#reload = () => void gateway.commands.reload({ ...theGateway, activity: 'sighup' }).catch(crash)
    if (this.#reloadWanted) this.#reload()
    await this.#stopWanted
    const { clean } = await gateway.stop()
    endSoon()
    return clean ? exitCodes.fine : exitCodes.drainOverTime
  }
}

/** A bug: what was thrown goes to stderr, since nothing else can be trusted now. */
function crash(error: unknown): never {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`mirrorgate: this is a bug, please report it: ${text}\n`)
  process.exit(exitCodes.bug)
}

process.on('uncaughtException', crash)
process.on('unhandledRejection', crash)
// A reader that leaves early, as in `mirrorgate check | head`, is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') crash(error)
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) crash(error)
  process.stderr.write(`mirrorgate: ${error.message}\nTry mirrorgate --help\n`)
  process.exitCode = exitCodes.wrongUsage
}
