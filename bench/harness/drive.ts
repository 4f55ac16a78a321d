/** The load generators: each runs in its own process on the load core and reports the same figures. */
import { fileURLToPath } from 'node:url'
import { orderBody, requestHeaders, requestPath, type Shape } from '../bed/payload.ts'
import type { Bed } from './bed.ts'
import { output } from './child.ts'

export type Driver = 'autocannon' | 'wrk'

export interface Driven {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Socket errors, time-outs and answers that are not 2xx. */
  readonly failures: number
}

export const connections = 64

const scripts = {
  autocannon: fileURLToPath(new URL('../load/autocannon.ts', import.meta.url)),
  paced: fileURLToPath(new URL('../load/paced.ts', import.meta.url)),
  wrk: fileURLToPath(new URL('../load/wrk.lua', import.meta.url)),
}

const url = (port: number): string => `http://127.0.0.1:${port}${requestPath}`

/** autocannon, closed loop. It ends after `seconds`, or after `amount` requests. */
async function autocannon(bed: Bed, port: number, shape: Shape, span: Span): Promise<Driven> {
  const post = shape === 'post' ? { method: 'POST', body: orderBody } : {}
  const headers = { ...requestHeaders, ...(shape === 'post' ? { 'content-type': 'application/json' } : {}) }
  const until = span.amount === undefined ? { duration: span.seconds } : { amount: span.amount }
  const options = { url: url(port), connections, workers: 1, headers, ...post, ...until }
  const args = [scripts.autocannon, JSON.stringify(options)]
  return JSON.parse(await output({ cores: bed.loadCore, command: process.execPath, args })) as Driven
}

/** wrk, closed loop, cheap enough to saturate the other core. Whole seconds only. */
async function wrk(bed: Bed, port: number, shape: Shape, span: Span): Promise<Driven> {
  const headers = Object.entries(requestHeaders).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const seconds = Math.max(1, Math.round(span.seconds))
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', scripts.wrk, ...headers, url(port)]
  const env = { BENCH_BODY: shape === 'post' ? orderBody : '' }
  const text = await output({ cores: bed.loadCore, command: 'wrk', args, env })
  return JSON.parse(/^RESULT (.*)$/m.exec(text)?.[1] ?? 'null') as Driven
}

export interface Span {
  readonly seconds: number
  /** Requests instead of seconds; autocannon only. */
  readonly amount?: number
}

export const drivers: Readonly<Record<Driver, typeof wrk>> = { autocannon, wrk }

/** Open loop: requests leave at a fixed rate, so a stall shows in every request behind it. */
export async function paced(bed: Bed, port: number, perSecond: number, seconds: number): Promise<Driven> {
  const args = [scripts.paced, JSON.stringify({ port, perSecond, seconds, connections })]
  return JSON.parse(await output({ cores: bed.loadCore, command: process.execPath, args })) as Driven
}
