/** Where the demo shows itself: a block that redraws on a terminal, one line a second elsewhere. */
import type { WriteStream } from 'node:tty'
import type { Figures } from './figures.ts'

export interface Screen {
  /** Text that stays. */
  say(...lines: string[]): void
  /** A new part of the story. */
  chapter(title: string, ...lines: string[]): void
  /** The figures of now; replaces the last ones on a terminal. */
  show(elapsed_seconds: number, figures: Figures): void
}

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

export const formatBytes = (bytes: number): string =>
  bytes < 1_000_000 ? `${whole.format(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
export const formatMs = (ms: number | null): string => (ms === null ? '-' : ms.toFixed(1))

interface Column {
  title: string
  width: number
  value: (figures: Figures) => string
}

const columns: readonly Column[] = [
  { title: 'req/s', width: 7, value: (f) => whole.format(f.requests_per_second) },
  { title: 'captured', width: 10, value: (f) => whole.format(f.captured) },
  { title: 'delivered', width: 11, value: (f) => whole.format(f.delivered) },
  { title: 'waiting', width: 9, value: (f) => whole.format(f.waiting) },
  { title: 'backlog', width: 9, value: (f) => formatBytes(f.waiting_bytes) },
  { title: 'dropped', width: 9, value: (f) => whole.format(f.dropped + f.dead_lettered) },
  { title: 'lag s', width: 7, value: (f) => f.lag_seconds.toFixed(1) },
  { title: 'client p99 ms', width: 14, value: (f) => formatMs(f.client_p99_ms) },
  { title: 'errors', width: 7, value: (f) => whole.format(f.client_errors) },
  { title: 'mirror', width: 12, value: (f) => f.state },
]

/** Plain lines, for logs and pipes. */
export function plainScreen(write: (text: string) => void): Screen {
  const say = (...lines: string[]) => write(lines.map((line) => `${line}\n`).join(''))
  return {
    say,
    chapter: (title, ...lines) => {
      say(
        '',
        `== ${title}`,
        ...lines,
        `  time${columns.map(({ title, width }) => title.padStart(width)).join('')}`,
      )
    },
    show: (elapsed, figures) => {
      const time = `${elapsed.toFixed(0)} s`.padStart(6)
      say(`${time}${columns.map(({ value, width }) => value(figures).padStart(width)).join('')}`)
    },
  }
}

const bold = (text: string) => `\x1b[1m${text}\x1b[22m`
const dim = (text: string) => `\x1b[2m${text}\x1b[22m`
const green = (text: string) => `\x1b[32m${text}\x1b[39m`
const yellow = (text: string) => `\x1b[33m${text}\x1b[39m`

/** A terminal: the figures stay in one place while the story goes on above them. */
export function liveScreen(terminal: WriteStream): Screen {
  let drawn = 0
  const say = (...lines: string[]) => {
    // The figures above stay as they were last.
    drawn = 0
    terminal.write(lines.map((line) => `${line}\n`).join(''))
  }
  return {
    say,
    chapter: (title, ...lines) => {
      say('', bold(title), ...lines.map(dim), '')
    },
    show: (elapsed, figures) => {
      if (drawn > 0) terminal.write(`\x1b[${drawn}A\x1b[J`)
      const lines = block(elapsed, figures).map((line) => line.slice(0, (terminal.columns || 80) - 1))
      terminal.write(lines.map((line) => `${paint(line)}\n`).join(''))
      drawn = lines.length
    },
  }
}

function block(elapsed: number, figures: Figures): string[] {
  const row = (label: string, value: string, note = '') =>
    `  ${label.padEnd(16)}${value.padStart(12)}  ${note}`
  const lost = figures.dropped + figures.dead_lettered
  return [
    row(
      'clients',
      `${whole.format(figures.requests_per_second)} req/s`,
      `running for ${elapsed.toFixed(0)} s`,
    ),
    row('client p99', `${formatMs(figures.client_p99_ms)} ms`, 'in the last second'),
    row('client errors', whole.format(figures.client_errors)),
    row('mirror', figures.state),
    row('  captured', whole.format(figures.captured), 'items: a request and a response each'),
    row('  delivered', whole.format(figures.delivered)),
    row('  waiting', whole.format(figures.waiting), `${formatBytes(figures.waiting_bytes)} on disk`),
    row('  dropped', whole.format(lost), 'dead letters included'),
    row('  lag', `${figures.lag_seconds.toFixed(1)} s`, 'age of the oldest item that waits'),
  ]
}

function paint(line: string): string {
  if (line.startsWith('  mirror')) return /parked|retrying/.test(line) ? yellow(line) : green(line)
  return line
}
