/** `mirrorgate audit …`: what people type, what they read, and the exit code. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { parseArgs } from 'node:util'
import { StartError } from '../contract/errors.ts'
import { backup } from './backup.ts'
import { exportLines } from './export.ts'
import { GatewayRefusal, importFile, type ImportTarget } from './import.ts'
import type { Verdict } from './verifier.ts'
import { UnreadableError, verify } from './verify.ts'

export const auditHelp = `Usage: mirrorgate audit verify DIR|FILE [--jwks FILE] [--filtered] [--json]
       mirrorgate audit export DIR [--environment NAME] [--from TIME] [--to TIME] [-o FILE]
       mirrorgate audit import FILE.ndjson [--config FILE | --url URL --token-file FILE]
       mirrorgate audit backup DIR TARGET [--compact]

verify   checks hash chains and signed checkpoints of a data folder (also while the gateway runs), a backup
         or an export, with nothing but the public keys, and names the first bad entry
export   writes entries as NDJSON with their hashes, and the checkpoints; with from or to it is a selection
import   sends entries to a running gateway, 1,000 at a time; may be repeated, nothing is entered twice
backup   copies the store of a data folder while writing goes on; the copy can be verified and restored

  --jwks FILE         public keys (default: audit-jwks.json beside what is checked)
  --filtered          the export is a selection: gaps between its entries are no findings
  --json              print the verdict as one JSON object
  --environment NAME  entries of one environment
  --from, --to TIME   ISO 8601, both inclusive
  -o, --output FILE   write there instead of to stdout
  --config FILE       configuration of the running gateway: its admin port and token (default: gateway.yaml)
  --url URL           admin port of the running gateway, with --token-file FILE
  --compact           leave free pages out of the copy: smaller, slower
  --help              this text

Exit codes: 0 fine, 1 something is wrong with the data, 2 wrong usage, 3 cannot start.
`

const options = {
  jwks: { type: 'string' },
  filtered: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  environment: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  output: { type: 'string', short: 'o' },
  config: { type: 'string' },
  url: { type: 'string' },
  'token-file': { type: 'string' },
  compact: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

interface Verb {
  readonly operands: readonly string[]
  readonly options: readonly (keyof typeof options)[]
  run(operands: readonly string[], values: Values, host: AuditHost): Promise<number>
}

/** What the command line gives: how a configuration is read, and how wrong usage is told. */
export interface AuditHost {
  target(configFile: string): Promise<ImportTarget>
  usage(message: string): Error
}

const verbs: Readonly<Record<string, Verb>> = {
  verify: { operands: ['DIR|FILE'], options: ['jwks', 'filtered', 'json'], run: runVerify },
  export: { operands: ['DIR'], options: ['environment', 'from', 'to', 'output'], run: runExport },
  import: { operands: ['FILE.ndjson'], options: ['config', 'url', 'token-file'], run: runImport },
  backup: { operands: ['DIR', 'TARGET'], options: ['compact'], run: runBackup },
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const complain = (line: string): void => void process.stderr.write(`${line}\n`)

/** Runs one verb; resolves with the exit code. */
export async function audit(args: readonly string[], host: AuditHost): Promise<number> {
  const [name = '', ...rest] = args
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (verb === undefined) {
    const known = Object.keys(verbs).join(', ')
    throw host.usage(name === '' ? `audit needs one of ${known}` : `audit has no ${name}, known are ${known}`)
  }
  const { positionals, values } = parse(verb, rest, host)
  if (positionals.length !== verb.operands.length) {
    throw host.usage(`audit ${name} needs ${verb.operands.join(' and ')}, got ${positionals.length} operands`)
  }
  try {
    return await verb.run(positionals, values, host)
  } catch (error) {
    if (error instanceof UnreadableError || error instanceof GatewayRefusal) {
      complain(`mirrorgate: ${error.message}`)
      return 1
    }
    if (!(error instanceof StartError)) throw error
    complain(`mirrorgate: ${error.message}`)
    return 3
  }
}

function parse(verb: Verb, args: string[], host: AuditHost) {
  const allowed = Object.fromEntries(verb.options.map((option) => [option, options[option]]))
  try {
    const { positionals, values } = parseArgs({ args, options: allowed, allowPositionals: true })
    return { positionals, values: values as Values }
  } catch (error) {
    const [message = ''] = (error as Error).message.split(/\. |\n/)
    throw host.usage(message.charAt(0).toLowerCase() + message.slice(1))
  }
}

async function runVerify([place = '']: readonly string[], values: Values): Promise<number> {
  const started = performance.now()
  const verdict = await verify({ place, jwks: values.jwks ?? null, filtered: values.filtered })
  const seconds = (performance.now() - started) / 1000
  if (values.json) say(JSON.stringify({ ok: verdict.finding === null, ...verdict, seconds }))
  else report(verdict, values.filtered, seconds)
  return verdict.finding === null ? 0 : 1
}

function report(verdict: Verdict, filtered: boolean, seconds: number): void {
  const count = (value: number) => value.toLocaleString('en-US')
  for (const { environment, entries, firstId, lastId } of verdict.chains) {
    say(`${environment}: ${count(entries)} entries, ${firstId} to ${lastId}`)
  }
  say(`${count(verdict.checkpoints)} signed checkpoints hold; ${count(verdict.uncovered)} entries are newer`)
  const rate = Math.round(verdict.entries / Math.max(seconds, 0.001))
  say(`${count(verdict.entries)} entries in ${seconds.toFixed(1)} s, ${count(rate)} a second`)
  if (verdict.finding !== null) {
    const { id, message } = verdict.finding
    say(id === null ? `BAD: ${message}` : `BAD: entry ${id} ${message}`)
  } else if (filtered) say('ok: every entry is as it was written; a selection cannot show what was left out')
  else say('ok: nothing was altered, removed or inserted')
}

async function runExport([folder = '']: readonly string[], values: Values, host: AuditHost): Promise<number> {
  const time = (name: 'from' | 'to') => {
    const text = values[name]
    if (text === undefined) return null
    const parsed = Date.parse(text)
    if (Number.isNaN(parsed)) throw host.usage(`--${name} must be an ISO 8601 time, got ${text}`)
    return parsed
  }
  const filter = { environment: values.environment ?? null, from: time('from'), to: time('to') }
  const out = values.output === undefined ? process.stdout : createWriteStream(values.output, { mode: 0o600 })
  for await (const text of exportLines(folder, filter)) {
    if (!out.write(text)) await once(out, 'drain')
  }
  if (out !== process.stdout) await new Promise<void>((resolve) => out.end(resolve))
  return 0
}

async function runImport([file = '']: readonly string[], values: Values, host: AuditHost): Promise<number> {
  const { url, 'token-file': tokenFile } = values
  if ((url === undefined) !== (tokenFile === undefined))
    throw host.usage('--url and --token-file go together')
  const target =
    url === undefined || tokenFile === undefined
      ? await host.target(values.config ?? 'gateway.yaml')
      : { url, tokenFile }
  const imported = await importFile(file, target, progress())
  say(`${imported.toLocaleString('en-US')} entries are in the log`)
  return 0
}

const BAR_CHARS = 30
const LINE_EVERY_MS = 5000

/** A bar on a terminal, a line now and then elsewhere; both on stderr. */
function progress(): (done: number, total: number, entries: number) => void {
  let spoken = performance.now()
  return (done, total, entries) => {
    const share = total === 0 ? 1 : done / total
    const text = `${Math.floor(share * 100)} % ${entries.toLocaleString('en-US')} entries`
    if (process.stderr.isTTY) {
      const filled = '#'.repeat(Math.round(share * BAR_CHARS)).padEnd(BAR_CHARS, '.')
      process.stderr.write(`\r[${filled}] ${text}${done === total ? '\n' : ''}`)
    } else if (done === total || performance.now() - spoken >= LINE_EVERY_MS) {
      spoken = performance.now()
      complain(text)
    }
  }
}

async function runBackup(
  [folder = '', target = '']: readonly string[],
  { compact }: Values,
): Promise<number> {
  const bytes = await backup(folder, target, compact)
  say(
    `${target}: ${bytes.toLocaleString('en-US')} bytes, with the public keys of the activity log beside them`,
  )
  return 0
}
