/**
 * Entry of the pools: `record` for the recorder pool (CPU only), `ship`, `index`, `probe` and posted events
 * for the shipper pool, `load` for the threads that read configurations. Each side loads its own code only,
 * on its first task.
 */
import os from 'node:os'
import { workerData } from 'node:worker_threads'
import type { LoadAnswer, LoadTask } from './config/load-task.ts'
import type { PluginModule } from './config/schema.ts'
import type { Plugins } from './config/validate.ts'
import type {
  EventsResult,
  EventsTask,
  EventsVerdict,
  IndexResult,
  IndexTask,
  PostedBody,
  ProbeTask,
  RecordResult,
  RecordTask,
  ShipResult,
  ShipTask,
} from './contract/tasks.ts'

/** Recording, and reading a configuration, give way to forwarding. */
const NICE = 5

function giveWay(): void {
  // On Linux this lowers the calling thread only.
  if (process.platform === 'linux') os.setPriority(0, NICE)
}

async function openRecorder(): Promise<(task: RecordTask) => unknown> {
  giveWay()
  const [{ record }, { move, transferableSymbol, valueSymbol }] = await Promise.all([
    import('./recorder/record.ts'),
    import('piscina'),
  ])
  return (task) => {
    const result: RecordResult = record(task)
    // A slab of its own goes back by transfer, never by copy; the others are shared.
    if (!(result.slab instanceof ArrayBuffer)) return result
    return move({
      [transferableSymbol]: result.slab,
      [valueSymbol]: result,
    } as unknown as ArrayBuffer)
  }
}

async function openShipper(): Promise<(task: ShipTask) => Promise<ShipResult>> {
  const [{ configureSinks, deliver }, builtIn] = await Promise.all([
    import('./shipper/deliver.ts'),
    import('../plugins/index.ts'),
  ])
  const { plugins } = workerData as { plugins: readonly PluginModule[] }
  configureSinks((await withPlugins(builtIn, plugins)).sinks)
  return deliver
}

/** Reading what judges definitions takes time that a thread without them does not need. */
async function withPlugins(builtIn: Plugins, modules: readonly PluginModule[]): Promise<Plugins> {
  if (modules.length === 0) return builtIn
  const { runningPlugins } = await import('./config/plugins.ts')
  return runningPlugins(modules, builtIn)
}

async function openReader(): Promise<(task: LoadTask) => Promise<LoadAnswer>> {
  giveWay()
  const [{ answerLoad }, plugins] = await Promise.all([
    import('./config/load-task.ts'),
    import('../plugins/index.ts'),
  ])
  return (task) => answerLoad(task, plugins)
}

/** Opens a side with its first task. Where that failed, for want of descriptors, the next one tries again. */
function once<Side>(open: () => Promise<Side>): () => Promise<Side> {
  let opened: Promise<Side> | null = null
  const forget = (error: unknown): never => {
    opened = null
    throw error
  }
  return () => (opened ??= open().catch(forget))
}

const recorder = once(openRecorder)
const shipper = once(openShipper)
const reader = once(openReader)

/** Records one slab. */
export async function record(task: RecordTask): Promise<unknown> {
  const run = await recorder()
  return run(task)
}

export async function ship(task: ShipTask): Promise<ShipResult> {
  const run = await shipper()
  return run(task)
}

export async function index(task: IndexTask): Promise<IndexResult> {
  const { indexSegment } = await import('./queue/spool-reader.ts')
  return indexSegment(task)
}

/** Posted events: whether they are what they must be. */
export async function judgeEvents(body: PostedBody): Promise<EventsVerdict> {
  const intake = await import('./shipper/event-intake.ts')
  return intake.judgeEvents(body)
}

/** Posted events: into the spool, or refused as a whole. */
export async function writeEvents(task: EventsTask): Promise<EventsResult> {
  const intake = await import('./shipper/event-intake.ts')
  return intake.writeEvents(task)
}

export async function probe(task: ProbeTask): Promise<boolean> {
  const run = await import('./shipper/probe.ts')
  return run.probe(task)
}

export async function load(task: LoadTask): Promise<LoadAnswer> {
  const run = await reader()
  return run(task)
}
