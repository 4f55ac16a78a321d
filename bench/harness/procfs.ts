/** What Linux says about CPU and memory: processes and their threads, cores. Linux only (proc(5)). */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const ticksPerSecond = process.platform === 'linux' ? Number(execFileSync('getconf', ['CLK_TCK'])) : 100
const tickUs = 1_000_000 / ticksPerSecond

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** utime + stime of a stat line, µs (proc(5), fields 14 and 15). The name may hold spaces and brackets. */
function cpuOfStat(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickUs
}

/** A process and its descendants: nginx answers from a worker below the master that was started. */
export function family(pid: number): number[] {
  const children =
    read(`/proc/${pid}/task/${pid}/children`)?.trim().split(' ').filter(Boolean).map(Number) ?? []
  return [pid, ...children.flatMap(family)]
}

/** Both worker pools of the gateway run under one name; only the recorder's threads are lowered. */
function threadName(stat: string): string {
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
  if (name !== 'WorkerThread') return name
  const nice = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  return nice > 0 ? 'recorder' : 'shipper'
}

export interface CpuSample {
  /** Whole processes, threads that ended included, microseconds. */
  readonly total: number
  /** Live threads by `pid/tid`. */
  readonly threads: ReadonlyMap<string, { name: string; us: number }>
}

export function cpuOf(pid: number): CpuSample {
  const threads = new Map<string, { name: string; us: number }>()
  let total = 0
  for (const member of family(pid)) {
    const stat = read(`/proc/${member}/stat`)
    if (stat === null) continue
    total += cpuOfStat(stat)
    for (const tid of readdirSync(`/proc/${member}/task`)) {
      const line = read(`/proc/${member}/task/${tid}/stat`)
      if (line === null) continue
      threads.set(`${member}/${tid}`, { name: threadName(line), us: cpuOfStat(line) })
    }
  }
  return { total, threads }
}

/** CPU spent between two samples by threads of the same name, microseconds. */
export function cpuByThread(before: CpuSample, after: CpuSample): Map<string, number> {
  const spent = new Map<string, number>()
  for (const [key, { name, us }] of after.threads) {
    spent.set(name, (spent.get(name) ?? 0) + us - (before.threads.get(key)?.us ?? 0))
  }
  return spent
}

export interface CoreSample {
  readonly busy: number
  readonly all: number
}

export function coreSample(core: number): CoreSample {
  const line =
    read('/proc/stat')
      ?.split('\n')
      .find((each) => each.startsWith(`cpu${core} `)) ?? ''
  // user nice system idle iowait irq softirq steal; guest is part of user already
  const ticks = line.split(/\s+/).slice(1, 9).map(Number)
  const all = ticks.reduce((sum, each) => sum + each, 0)
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all }
}

/** Resident memory of a process and its descendants, MiB: now, and the most it ever was. */
export function memoryOf(pid: number): { now: number; peak: number } {
  let now = 0
  let peak = 0
  for (const member of family(pid)) {
    const status = read(`/proc/${member}/status`) ?? ''
    now += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024
    peak += Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024
  }
  return { now, peak }
}
