/**
 * The log: pino, JSON lines or pretty ones, with secrets taken out of every line and every line bounded.
 * Callers never pass secrets or bodies; what stands here is the second fence.
 */
import { createRequire } from 'node:module'
import { type DestinationStream, destination, type LogFn, pino } from 'pino'
import type { Config } from '../config/schema.ts'

/** What the parts of the gateway log with. `level` may be set at any time; there are no child loggers. */
export interface Logger {
  level: string
  readonly trace: LogFn
  readonly debug: LogFn
  readonly info: LogFn
  readonly warn: LogFn
  readonly error: LogFn
  readonly fatal: LogFn
}

/** Bounds of one line: a log reader must never meet a megabyte. */
const STRING_CHARS = 2048
const STACK_CHARS = 4096
const LINE_CHARS = 16_384
const DEPTH = 5
const ENTRIES = 50
/** Lines that wait for a slow reader of stdout; beyond it lines are dropped rather than memory filled. */
const BUFFER_BYTES = 8 * 1024 * 1024

const REDACTED = '[redacted]'
const secretKey =
  /authorization|cookie|token|passw(?:or)?d|passphrase|secret|api[-_]?key|private[-_]?key|credential/i
const bodyKey = /^(?:request|response)?[-_]?body$/i
const bearer = /\b(bearer|basic)\s+[^\s"',]+/gi
/** RFC 3986 §3.2.1: user information of a URL. */
const userInfo = /(:\/\/)[^\s/?#@"']+@/g

/** Cuts a text, after taking credentials out of it. */
function clean(text: string, chars: number): string {
  // Cut first, with room for what is removed: the patterns below must not see a megabyte.
  const scrubbed = text
    .slice(0, chars * 2)
    .replace(bearer, `$1 ${REDACTED}`)
    .replace(userInfo, `$1${REDACTED}@`)
  return scrubbed.length <= chars && text.length <= chars * 2
    ? scrubbed
    : `${scrubbed.slice(0, chars)}… (${text.length} characters)`
}

/** Characters that one line may still take. */
interface Budget {
  chars: number
}

function cleanString(text: string, budget: Budget, chars = STRING_CHARS): string {
  const result = clean(text, Math.max(0, Math.min(chars, budget.chars)))
  budget.chars -= result.length
  return result
}

function cleanError(error: Error, budget: Budget, depth: number): Record<string, unknown> {
  const { code, status, cause } = error as Error & { code?: unknown; status?: unknown }
  return {
    type: error.name,
    message: cleanString(error.message, budget),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof status === 'number' ? { status } : {}),
    stack: cleanString(error.stack ?? '', budget, STACK_CHARS),
    ...(cause === undefined ? {} : { cause: cleanValue(cause, budget, depth + 1) }),
  }
}

function cleanValue(value: unknown, budget: Budget, depth: number): unknown {
  if (typeof value === 'string') return cleanString(value, budget)
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'function' || typeof value === 'symbol') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (depth >= DEPTH || budget.chars <= 0) return '…'
  if (value instanceof Error) return cleanError(value, budget, depth)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `(${value.byteLength} bytes)`
  if (Array.isArray(value)) {
    const items: unknown[] = value.slice(0, ENTRIES).map((item) => cleanValue(item, budget, depth + 1))
    if (value.length > ENTRIES) items.push(`… (${value.length} entries)`)
    return items
  }
  return cleanFields(value as Record<string, unknown>, budget, depth)
}

function cleanFields(
  fields: Record<string, unknown>,
  budget: Budget,
  depth: number,
): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const key of Object.keys(fields).slice(0, ENTRIES)) {
    const value = fields[key]
    const name = key.length <= 128 ? key : key.slice(0, 128)
    budget.chars -= name.length
    if (secretKey.test(key)) result[name] = value === undefined || value === null ? value : REDACTED
    else if (bodyKey.test(key)) result[name] = '[left out]'
    else result[name] = cleanValue(value, budget, depth + 1)
  }
  return result
}

/** Arguments of a log call, with every text in the message bounded and free of credentials. */
function cleanMessage(args: readonly unknown[]): Parameters<LogFn> {
  // pino takes the message of a bare error as it is, so it is named here instead.
  const named =
    args[0] instanceof Error ? [{ err: args[0] }, args[1] ?? args[0].message, ...args.slice(2)] : args
  return named.map((arg) => (typeof arg === 'string' ? clean(arg, STRING_CHARS) : arg)) as Parameters<LogFn>
}

function stdout(): DestinationStream {
  return destination({ dest: 1, sync: false, maxLength: BUFFER_BYTES })
}

/**
 * The logger of the process. Without a destination it writes to stdout; with one it writes JSON lines unless
 * `format: pretty` asks otherwise.
 */
export function createLog(
  logging: Pick<Config['logging'], 'level' | 'format'>,
  into?: DestinationStream,
): Logger {
  const isTerminal = into === undefined && process.stdout.isTTY
  const isPretty = logging.format === 'pretty' || (logging.format === 'auto' && isTerminal)
  return pino(
    {
      level: logging.level,
      base: null,
      // Errors are already plain here: pino's own serializer would name them all Object.
      serializers: { err: (value: unknown) => value },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => cleanFields(fields, { chars: LINE_CHARS }, 0),
      },
      hooks: {
        logMethod(args, method) {
          method.apply(this, cleanMessage(args))
        },
      },
    },
    isPretty ? prettyLines(isTerminal, into ?? 1) : (into ?? stdout()),
  )
}

/** Loaded only for a terminal: a service has no use for it, and pays for it at each start. */
function prettyLines(colorize: boolean, into: DestinationStream | 1): DestinationStream {
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty')
  return pretty({ colorize, sync: true, destination: into })
}
