/**
 * The metrics of contract §4: a Prometheus registry that reads its source at scrape time, on main, so that
 * the data threads only increment shared counters. Labels come from the configuration and fixed lists alone.
 */
import type { MirrorView } from '../admin/commands.ts'
import { Buckets, Distribution, Families } from './family.ts'
import { type ActivityFigures, addActivityFamilies } from './metrics-activity.ts'
import { addHttpFamilies, type HttpSource } from './metrics-http.ts'
import { addMirrorFamilies, type AttemptOutcome, MirrorTally } from './metrics-mirror.ts'
import { addProcessFamilies } from './metrics-process.ts'
import { addSecretFamilies, type SecretsTally } from './metrics-secrets.ts'

/** What is read at scrape time. */
export interface MetricsSource extends HttpSource {
  mirrors(): readonly MirrorView[]
  activity(): ActivityFigures
  secrets(): SecretsTally
  /** Memory of the capture path, bytes. */
  captureBuffer(): { readonly used: number; readonly limit: number }
  uncleanShutdown(): boolean
}

/** Seconds: a slab is normally on disk within milliseconds; beyond a minute the recorder is far behind. */
const captureLagBuckets = new Buckets([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60])

export const reloadResults = ['applied', 'rejected'] as const
export type ReloadOutcome = (typeof reloadResults)[number]

export class Metrics {
  readonly #source: MetricsSource
  readonly #families = new Families()
  readonly #mirrors = new MirrorTally()
  readonly #captureLag = new Distribution(captureLagBuckets)
  readonly #reloads: Record<ReloadOutcome, number> = { applied: 0, rejected: 0 }
  readonly #closeProcess: () => void
  #notRedactable = 0
  #activityFailed = 0
  /** Read once per scrape, so that the identity holds among its numbers. */
  #views: readonly MirrorView[] = []

  constructor(source: MetricsSource, build: { readonly version: string }) {
    this.#source = source
    const families = this.#families
    families.gauge('build_info', 'Version of the gateway and of Node; always 1.', () => [
      { labels: { version: build.version, node: process.version }, value: 1 },
    ])
    addHttpFamilies(families, source)
    addMirrorFamilies(families, () => this.#views, this.#mirrors)
    this.#addCaptureFamilies(families, source)
    addActivityFamilies(families, () => source.activity())
    addSecretFamilies(families, () => source.secrets())
    families.counter('config_reloads_total', 'Reloads of the configuration.', () =>
      reloadResults.map((result) => ({ labels: { result }, value: this.#reloads[result] })),
    )
    families.gauge('unclean_shutdown', '1 when the last run ended without a clean stop.', () => [
      { labels: {}, value: source.uncleanShutdown() ? 1 : 0 },
    ])
    families.counter(
      'activity_failed_total',
      'Entries of the gateway itself that could not be written into the activity log.',
      () => [{ labels: {}, value: this.#activityFailed }],
    )
    this.#closeProcess = addProcessFamilies(families)
  }

  #addCaptureFamilies(families: Families, source: MetricsSource): void {
    families.gauge('capture_buffer_used_bytes', 'Memory that captures use: open exchanges and slabs.', () => [
      { labels: {}, value: source.captureBuffer().used },
    ])
    families.gauge('capture_buffer_limit_bytes', 'Memory that captures may use.', () => [
      { labels: {}, value: source.captureBuffer().limit },
    ])
    families.histogram('capture_lag_seconds', 'Time from a sealed slab to its frames on disk.', (name) =>
      this.#captureLag.samples(name, {}),
    )
    families.counter(
      'recorder_not_redactable_total',
      'Bodies left out of items because they could not be searched for secrets.',
      () => [{ labels: {}, value: this.#notRedactable }],
    )
  }

  /** One delivery attempt of a leg. */
  countAttempt(mirror: string, leg: string, outcome: AttemptOutcome): void {
    this.#mirrors.countAttempt(mirror, leg, outcome)
  }

  /** `items` items acknowledged, `seconds` after they were captured. */
  observeDelivery(mirror: string, leg: string, seconds: number, items: number): void {
    this.#mirrors.observeDelivery(mirror, leg, seconds, items)
  }

  /** One slab, `seconds` from sealed to on disk. */
  observeCaptureLag(seconds: number): void {
    this.#captureLag.observe(seconds)
  }

  countReload(result: ReloadOutcome): void {
    this.#reloads[result] += 1
  }

  countNotRedactable(bodies: number): void {
    this.#notRedactable += bodies
  }

  countActivityFailed(entries: number): void {
    this.#activityFailed += entries
  }

  /** Prometheus text, with its content type. */
  async text(): Promise<{ type: string; text: string }> {
    const registry = await this.#families.registry()
    this.#views = this.#source.mirrors()
    this.#mirrors.keepOnly(new Set(this.#views.map(({ name }) => name)))
    return { type: registry.contentType, text: await registry.metrics() }
  }

  close(): void {
    this.#closeProcess()
  }
}
