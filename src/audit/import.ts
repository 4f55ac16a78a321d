/**
 * `mirrorgate audit import`: entries of other systems into a running gateway, through its admin port, so that
 * there is one validator and one writer.
 */
import crypto from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { limits } from '../contract/limits.ts'
import { linesOf } from './lines.ts'
import { UnreadableError } from './verify.ts'

export interface ImportTarget {
  /** Of the admin port. */
  readonly url: string
  readonly tokenFile?: string
  readonly token?: string
}

/** The gateway did not take it, with its own sentence. */
export class GatewayRefusal extends Error {
  override readonly name = 'GatewayRefusal'
}

const ENTRIES_AT_ONCE = 1000
/** Below what the admin port takes, with room for brackets and commas. */
const BYTES_AT_ONCE = limits.admin_body_bytes - 64 * 1024
const TRIES = 10
const RETRY_MS = 1000

/**
 * Sends a file of one JSON entry per line; resolves with how many entries the log holds of it. A repeat,
 * after an interruption too, enters nothing twice: every chunk travels under a key made from its content.
 */
export async function importFile(
  file: string,
  target: ImportTarget,
  progress: (doneBytes: number, totalBytes: number, entries: number) => void,
): Promise<number> {
  if (!existsSync(file)) throw new UnreadableError(`there is no file ${file}`)
  const token = tokenOf(target)
  const total = statSync(file).size
  let lines: string[] = []
  let bytes = 0
  let [done, entries, line] = [0, 0, 0]
  const send = async () => {
    if (lines.length === 0) return
    await post(target.url, token, lines, line)
    entries += lines.length
    done += bytes
    lines = []
    bytes = 0
    progress(done, total, entries)
  }
  for await (const several of linesOf(file)) {
    for (const next of several) {
      const full = lines.length >= ENTRIES_AT_ONCE || bytes + next.length > BYTES_AT_ONCE
      if (full) await send()
      lines.push(next.toString('utf8'))
      bytes = Math.min(bytes + next.length + 1, total - done)
      line += 1
    }
  }
  await send()
  return entries
}

function tokenOf({ token, tokenFile }: ImportTarget): string {
  if (token !== undefined) return token
  try {
    return readFileSync(tokenFile ?? '', 'utf8').trim()
  } catch (error) {
    const { code = 'unreadable' } = error as NodeJS.ErrnoException
    throw new UnreadableError(`the token cannot be read from ${tokenFile}: ${code}`)
  }
}

/** One chunk; waits and tries again while the gateway is busy. `last`: number of its last line. */
async function post(url: string, token: string, lines: readonly string[], last: number): Promise<void> {
  const body = `[${lines.join(',')}]`
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'idempotency-key': crypto.hash('sha256', body, 'base64url'),
  }
  const place = `lines ${last - lines.length + 1} to ${last}`
  for (let attempt = 1; ; attempt += 1) {
    const answer = await ask(`${url}/api/activity_logs`, { method: 'POST', headers, body })
    if (answer !== null && answer.status === 202) return
    const passing = answer === null || answer.status === 429 || answer.status === 503
    if (!passing || attempt === TRIES) throw refusal(url, place, answer)
    await wait(Math.max(Number(answer?.retryAfter ?? 0) * 1000, RETRY_MS))
  }
}

interface Answered {
  readonly status: number
  readonly text: string
  readonly retryAfter: string | null
}

/** Null when no answer came. */
async function ask(url: string, request: RequestInit): Promise<Answered | null> {
  try {
    const response = await fetch(url, { ...request, redirect: 'error' })
    const { status, headers } = response
    return { status, text: await response.text(), retryAfter: headers.get('retry-after') }
  } catch {
    return null
  }
}

function refusal(url: string, place: string, answer: Answered | null): GatewayRefusal {
  if (answer === null) {
    return new GatewayRefusal(`${place}: no gateway answers at ${url}: start it, and repeat the import`)
  }
  const said = answer.text.slice(0, limits.answer_kept_bytes)
  return new GatewayRefusal(`${place}: the gateway answered ${answer.status}: ${said}`)
}
