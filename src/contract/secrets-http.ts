/**
 * The HTTP client of providers of secrets: a `fetch` that follows no redirect, reads a bounded answer and
 * trusts the authority that it is told. SDKs are put on top of it, so that these rules hold for every
 * provider.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { sentence } from './answer.ts'
import { limits } from './limits.ts'
import { nodeHttp, reasonPhrase } from './node-http.ts'
import { SecretError } from './secrets.ts'

export interface SecretsHttp {
  /** Resolves with any answer, its body read; without one, throws a `SecretError` of kind `unavailable`. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>
  /** Ends what is on its way. Idempotent. */
  close(): void
}

/** `caFile`: PEM with the authorities to trust instead of the system's, read before the first request. */
export function createSecretsHttp({ caFile }: { caFile?: string | undefined } = {}): SecretsHttp {
  const closed = new AbortController()
  let ca: Buffer | undefined
  return {
    async fetch(input, init) {
      const host = hostOf(input)
      const patience = AbortSignal.timeout(limits.secret_request_ms)
      let signal = AbortSignal.any([closed.signal, patience])
      try {
        const request = new Request(input, init)
        signal = AbortSignal.any([request.signal, signal])
        if (caFile !== undefined) ca ??= readAuthorities(caFile)
        return await send(request, Buffer.from(await request.arrayBuffer()), ca, signal)
      } catch (error) {
        throw failure(error, host, signal)
      }
    },
    close: () => closed.abort(),
  }
}

function hostOf(input: string | URL | Request): string {
  const url = input instanceof Request ? input.url : String(input)
  return URL.canParse(url) ? new URL(url).host : 'the secrets manager'
}

function readAuthorities(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new SecretError('unavailable', `reading ca_file ${file}: ${sentence(error as Error)}`)
  }
}

/**
 * One connection per request: secrets are read rarely, and an idle socket that the other side has closed
 * would only make a read fail.
 */
function send(
  request: Request,
  body: Buffer,
  ca: Buffer | undefined,
  signal: AbortSignal,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>()
  const url = new URL(request.url)
  const headers = Object.fromEntries(request.headers)
  // Answers are read as they come: an SDK that asks for a compressed one would have to undo it unbounded.
  delete headers['accept-encoding']
  const options = { method: request.method, headers, signal, agent: false } as const
  const outgoing =
    url.protocol === 'https:'
      ? https.request(url, { ...options, ...(ca !== undefined && { ca }) })
      : nodeHttp().request(url, options)
  let answered = false
  outgoing.on('response', (incoming) => {
    answered = true
    answerOf(incoming)
      .then(resolve, reject)
      .finally(() => outgoing.destroy())
  })
  outgoing.on('error', reject)
  // An answer that is none (RFC 9110 §15.2.2: 101) ends without an event of its own.
  outgoing.on('close', () => {
    if (!answered) reject(new SecretError('unavailable', `asking ${url.host}: closed without an answer`))
  })
  outgoing.end(body)
  return promise
}

async function answerOf(incoming: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > limits.secret_answer_bytes) {
      const rule = `an answer must be at most ${limits.secret_answer_bytes} bytes, got more`
      throw new SecretError('unavailable', rule)
    }
    chunks.push(chunk)
  }
  const headers = new Headers()
  for (const [name, values] of Object.entries(incoming.headersDistinct))
    for (const value of values ?? []) headers.append(name, value)
  const status = incoming.statusCode ?? 0
  // RFC 9110 §15: these have no body, and `Response` refuses one.
  const body = [204, 205, 304].includes(status) ? null : Buffer.concat(chunks)
  return new Response(body, { status, headers })
}

function failure(error: unknown, host: string, signal: AbortSignal): SecretError {
  if (error instanceof SecretError && !signal.aborted) return error
  const cause: unknown = signal.aborted ? signal.reason : error
  const reason = cause instanceof Error ? sentence(cause) : 'failed'
  // No `cause`: what an error of a socket or an SDK carries may hold headers.
  return new SecretError('unavailable', `asking ${host}: ${reason === 'AbortError' ? 'given up' : reason}`)
}

/** What an answer without a secret means, where a service follows RFC 9110; `hint` says what to check. */
export function answerFailure(answer: Response, host: string, hint: string): SecretError {
  const { status } = answer
  const said = `${host} answered ${status} ${reasonPhrase(status)}`.trimEnd()
  if (status === 401 || status === 403) return new SecretError('denied', `${said}: ${hint}`)
  if (status === 404) return new SecretError('not_found', `${said}: ${hint}`)
  if (status >= 300 && status < 400)
    return new SecretError('unavailable', `${said}: redirects are not followed, check the address`)
  return new SecretError('unavailable', said)
}

/** The JSON object of an answer; a `SecretError` of kind `unavailable` when it holds none. */
export async function answerObject(answer: Response, host: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await answer.text())
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Said below; the message of the parser quotes the text.
  }
  throw new SecretError('unavailable', `${host} answered with something else than a JSON object`)
}

/** The `SecretError` that an SDK has wrapped, as deep as SDKs wrap. */
export function wrappedSecretError(error: unknown): SecretError | null {
  let inner = error
  for (let depth = 0; depth < 8 && typeof inner === 'object' && inner !== null; depth += 1) {
    if (inner instanceof SecretError) return inner
    inner = 'cause' in inner ? inner.cause : null
  }
  return null
}

/** Ends with a `SecretError` when `signal` aborts, whether or not the work of an SDK does. */
export async function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = () => reject(new SecretError('unavailable', 'the secrets manager did not answer in time'))
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
