/** The time in the forms of a template's placeholders. */
import { localTime } from '../contract/local-time.ts'

/** How far the process's own fine clock may be off before it is set by the system's. */
const DRIFT_MS_MAX = 2

let origin = performance.timeOrigin

/** Unix milliseconds with fractions of microseconds. */
export function preciseNow(): number {
  const coarse = Date.now()
  const fine = origin + performance.now()
  if (Math.abs(fine - coarse) <= DRIFT_MS_MAX) return fine
  // The system's clock was set, or the machine slept.
  origin = coarse - performance.now()
  return coarse
}

/** `at` in Unix milliseconds → JSON text. */
export type TimeForm = (at: number) => string

/** By name; printed examples are of one moment: 1685683801002.2139. */
export function timeForms(timeZone: string): Readonly<Record<string, TimeForm>> {
  const local = localTime(timeZone, 'ms')
  return {
    now: (at) => `"${local(Math.floor(at))}"`,
    now_utc: (at) => at.toFixed(4),
    now_utc_micro: (at) => String(Math.floor(at * 1000)),
    now_utc_nano: (at) => `${Math.round(at * 1000)}000`,
  }
}
