/** The targets of the activity log, and its figures as Markdown. */
import type { ActivityResult } from '../cases/activity.ts'
import type { Verdict } from './judge.ts'

/** The targets are set for this size. */
const FULL_ENTRIES = 10_000_000

export function judgeActivity(found: ActivityResult | null): Verdict[] {
  if (found === null) return []
  const full = found.entries >= FULL_ENTRIES
  const verdict = (target: string, how: string, value: number, most: number, least = 0): Verdict => {
    const holds = least > 0 ? value >= least : value <= most
    const note = full ? '' : 'the target is set for 10 million entries (`--activity 10000000`)'
    const bound = least > 0 ? `>= ${least}` : `<= ${most}`
    return { target, how, value, bound, met: holds && !full ? null : holds, note }
  }
  const slowest = Math.max(...found.pages.map(({ p99Ms }) => p99Ms))
  const size = `${found.entries.toLocaleString('en')} entries`
  return [
    verdict(
      'activity log, appends',
      `per second, batches of 1,000, ${size}`,
      found.appendsPerSecond,
      0,
      50_000,
    ),
    verdict('activity log, first page', 'ms, after opening, with its total', found.firstPageMs, 10),
    verdict('activity log, filtered pages', 'p99 of the slowest kind with its total, ms', slowest, 50),
    verdict(
      'activity log, memory',
      'own memory of the process (RssAnon), MiB at most',
      found.anonMiBMax,
      300,
    ),
    verdict('activity log, retention', 'longest wait of an append meanwhile, ms', found.appendWaitMsMax, 50),
  ]
}

export function activityText(found: ActivityResult | null): string {
  if (found === null) return ''
  const count = (value: number): string => Math.round(value).toLocaleString('en')
  const rows = found.pages.map(
    ({ kind, p50Ms, p99Ms }) => `| ${kind} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} |`,
  )
  const { appended, queried, end } = found.rssMiB
  return [
    `${count(found.entries)} entries: ${count(found.appendsPerSecond)} appends/s in batches of 1,000, each ` +
      `acknowledged after its fsync; ${count(found.bytesPerEntry)} bytes of the store per entry; opened in ` +
      `${count(found.openMs)} ms, first page with its total after ${found.firstPageMs.toFixed(1)} ms.`,
    `| page of 100 with its total | p50 ms | p99 ms |\n| --- | ---: | ---: |\n${rows.join('\n')}`,
    `A search for text that stands nowhere ${found.textEnded ? 'ends' : 'is refused'} ` +
      `after ${(found.textMs / 1000).toFixed(1)} s. ` +
      `Retention removed ${count(found.removed)} entries in ${found.removeSeconds.toFixed(1)} s; an append ` +
      `meanwhile waited ${found.appendWaitMsMax.toFixed(1)} ms at most.`,
    `Own memory at most ${count(found.anonMiBMax)} MiB. RSS ${count(appended)} MiB after the appends, ` +
      `${count(queried)} after the pages, ${count(end)} at the end: the rest is pages of the store's ` +
      'file that the kernel keeps mapped and takes back when it needs them.',
  ].join('\n\n')
}
