/** The figures of a run as Markdown: on the terminal, and between the markers of README.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { shapes } from '../bed/payload.ts'
import type { MicroResult } from '../micro/micro.ts'
import { activityText } from './judge-activity.ts'
import { streamsText } from './judge-streams.ts'
import { type Run, saturated, type Verdict } from './judge.ts'
import type { Machine } from './machine.ts'
import type { Measurement } from './measure.ts'
import { median, spread } from './statistics.ts'

const start = '<!-- results: written by the run, do not edit -->'
const end = '<!-- /results -->'

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, at) => (at === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

const percent = (share: number, digits = 0): string => `${(share * 100).toFixed(digits)} %`
const whole = (value: number): string => Math.round(value).toLocaleString('en')

/** A throughput counts only where the core had nothing left; otherwise it is put in brackets. */
function throughput(rounds: readonly Measurement[]): string {
  const full = rounds.filter(saturated)
  const text = whole(median(rounds.map((each) => each.perSecond)))
  return full.length * 2 > rounds.length ? text : `(${text})`
}

function droppedText(rounds: readonly Measurement[]): string {
  const reasons = [...new Set(rounds.flatMap((each) => Object.keys(each.dropped)))]
  return reasons.length === 0 ? '' : ` (${reasons.join(', ')})`
}

function rowCells(rounds: readonly Measurement[]): string[] {
  const of = (figure: 'cpuUs' | 'p50Ms' | 'p99Ms' | 'coreBusy' | 'ownBusy'): number =>
    median(rounds.map((each) => each[figure]))
  const shares = rounds.map((each) => each.mirrored).filter((each) => each !== null)
  return [
    of('cpuUs').toFixed(1),
    percent(spread(rounds.map((each) => each.cpuUs))),
    throughput(rounds),
    `${percent(of('coreBusy'))} (${percent(of('ownBusy'))})`,
    of('p50Ms').toFixed(2),
    of('p99Ms').toFixed(2),
    shares.length === 0 ? '' : `${percent(median(shares), 1)}${droppedText(rounds)}`,
    String(rounds.length),
  ]
}

const head = [
  'row',
  'CPU µs/request',
  'spread',
  'requests/s',
  'core busy',
  'p50 ms',
  'p99 ms',
  'mirrored',
  'rounds',
]

export function rowTables(run: Run): string {
  const parts: string[] = []
  for (const driver of ['autocannon', 'wrk'] as const) {
    for (const shape of shapes) {
      const all = run.measurements.filter((each) => each.driver === driver && each.shape === shape)
      const names = [...new Set(all.map((each) => each.row))]
      const rows = names.map((name) => {
        const good = all.filter((each) => each.row === name && each.invalid === null)
        if (good.length > 0) return [name, ...rowCells(good)]
        return [name, all.find((each) => each.row === name)?.invalid ?? '', '', '', '', '', '', '', '0']
      })
      const what = shape === 'get' ? 'GET, 400-byte answer' : 'POST of 1 KB, 400-byte answer'
      if (rows.length > 0) parts.push(`#### ${what}, load by ${driver}\n\n${table(head, rows)}`)
    }
  }
  return parts.join('\n\n')
}

/** Where the gateway's CPU goes: µs per request by thread, medians. */
export function threadTable(run: Run): string {
  const own = run.measurements.filter(
    (each) => ['off', 'on', 'hung', 'dead'].includes(each.row) && !each.invalid,
  )
  const groups = Map.groupBy(own, (each) => `${each.row}, ${each.shape.toUpperCase()}, ${each.driver}`)
  const names = [...new Set(own.flatMap((each) => Object.keys(each.threadsUs)))].sort()
  const rows = [...groups].map(([group, rounds]) => [
    group,
    ...names.map((name) => {
      const us = median(rounds.map((each) => each.threadsUs[name] ?? 0))
      return us === 0 ? '' : us.toFixed(1)
    }),
  ])
  return rows.length === 0 ? '' : table(['row', ...names], rows)
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const words = new Map([
    [true, 'met'],
    [false, '**missed**'],
    [null, 'not judged'],
  ])
  const rows = verdicts.map((each) => [
    each.target,
    each.how,
    each.bound,
    each.value === null ? '' : each.value.toFixed(each.value >= 100 ? 0 : 2),
    `${words.get(each.met)}${each.note === '' ? '' : `: ${each.note}`}`,
  ])
  return table(['target', 'measured as', 'bound', 'value', 'verdict'], rows)
}

export function loopTable(run: Run): string {
  const rows = run.loops.map((each) => [
    `${each.mirror}, round ${each.round}`,
    whole(each.perSecond),
    each.meanMs.toFixed(3),
    each.p99Ms.toFixed(3),
    each.clientP50Ms.toFixed(3),
    each.clientP99Ms.toFixed(3),
    String(each.failures),
  ])
  if (rows.length === 0) return ''
  const names = [
    'mirror',
    'requests/s',
    'loop mean ms',
    'loop p99 ms',
    'client p50 ms',
    'client p99 ms',
    'failures',
  ]
  return table(names, rows)
}

export function soakText(run: Run): string {
  const soak = run.soak
  if (soak === null) return ''
  const lost = Object.entries(soak.dropped).map(([reason, items]) => `${whole(items)} ${reason}`)
  const dropped = lost.length === 0 ? 'none' : lost.join(', ')
  const failures = soak.failures === 0 ? 'none failed' : `${whole(soak.failures)} failed`
  return (
    `${whole(soak.requests)} requests with a dead collector, ${failures}: ` +
    `RSS ${whole(soak.startMiB)} MiB at the start, ${whole(soak.endMiB)} MiB at the end, ` +
    `${whole(soak.peakMiB)} MiB at most. ${whole(soak.waitingItems)} items wait on disk; dropped: ${dropped}.`
  )
}

function idleText({ idle }: Run): string {
  if (idle === null) return ''
  const { connections, beforeMiB, openMiB, busy, afterMiB } = idle
  const each = ((openMiB - beforeMiB) * 1024) / connections
  return (
    `${each.toFixed(1)} KiB of memory per connection: RSS ${whole(beforeMiB)} MiB before, ` +
    `${whole(openMiB)} MiB with ${whole(connections)} that were used once, ${whole(afterMiB)} MiB ` +
    `after they left. While they say nothing, the gateway takes ${percent(busy, 1)} of a core.`
  )
}

export function microTable(results: readonly MicroResult[]): string {
  const rows = results.map(({ name, unit, usEach, rounds, note }) => [
    name,
    unit,
    usEach.toFixed(2),
    note,
    `${rounds}`,
  ])
  return rows.length === 0 ? '' : table(['step', 'unit', 'µs each', 'input', 'rounds'], rows)
}

export interface Page {
  readonly machine: Machine
  readonly commit: string
  readonly command: string
  readonly run: Run
  readonly verdicts: readonly Verdict[]
  readonly micro: readonly MicroResult[]
  readonly skipped: readonly string[]
}

export function page(of: Page): string {
  const { machine, run } = of
  const tools = Object.entries({ ...machine.tools, ...machine.libraries }).map(
    ([name, text]) => `${name} ${text ?? '-'}`,
  )
  const missed = of.verdicts.filter((each) => each.met === false).length
  const met = of.verdicts.filter((each) => each.met === true).length
  const sections: [title: string, text: string][] = [
    ['Targets', of.verdicts.length === 0 ? '' : verdictTable(of.verdicts)],
    ['Rows', rowTables(run)],
    ['CPU by thread, µs per request', threadTable(run)],
    ['Event-loop delay of a data thread', loopTable(run)],
    ['Memory', soakText(run)],
    ['Idle connections', idleText(run)],
    ['Activity log', activityText(run.activity)],
    ['Streams', streamsText(run.streams)],
    ['Micro-benches', microTable(of.micro)],
  ]
  return [
    `${machine.date} · ${machine.cpu}, ${machine.cores} cores, ${whole(machine.memoryMiB)} MiB · Linux ` +
      `${machine.kernel} · Node ${machine.node} · commit ${of.commit} · ` +
      `load before the run ${machine.loadBefore}`,
    `\`${of.command}\` · ${tools.join(' · ')}`,
    `${met} met, ${missed} missed, ${of.verdicts.length - met - missed} not judged.`,
    ...of.skipped,
    ...sections.filter(([, text]) => text !== '').map(([title, text]) => `### ${title}\n\n${text}`),
  ].join('\n\n')
}

export function publish(file: string, text: string): void {
  const readme = readFileSync(file, 'utf8')
  const [from, until] = [readme.indexOf(start), readme.indexOf(end)]
  if (from < 0 || until < from) throw new Error(`${file}: the markers of the results are missing`)
  writeFileSync(file, `${readme.slice(0, from + start.length)}\n\n${text}\n\n${readme.slice(until)}`)
}
