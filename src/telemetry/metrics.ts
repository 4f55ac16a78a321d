/**
 * The metrics of contract §4: a Prometheus registry that reads its source at scrape time, on main, so that
 * the data threads only increment shared counters. Labels come from the configuration and fixed lists alone.
 */
import type { DeliveryView } from '../admin/commands.ts'
import { Buckets, Distribution, Families } from './family.ts'
import { type ActivityFigures, addActivityFamilies } from './metrics-activity.ts'
import { addHttpFamilies, type HttpSource } from './metrics-http.ts'
import { addDeliveryFamilies, type AttemptOutcome, DeliveryTally } from './metrics-delivery.ts'
import { addIncidentFamilies, type IncidentFigures } from './metrics-incidents.ts'
import { addProcessFamilies } from './metrics-process.ts'
import { addSecretFamilies, type SecretsTally } from './metrics-secrets.ts'

/** What is read at scrape time. */
export interface MetricsSource extends HttpSource {
  mirrors(): readonly DeliveryView[]
  streams(): readonly DeliveryView[]
  /** The key under which attempts of a stream are counted; a mirror's is its name. */
  streamKey(name: string): string
  activity(): ActivityFigures
  secrets(): SecretsTally
  incidents(): IncidentFigures
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
  readonly #deliveries = new DeliveryTally()
  readonly #captureLag = new Distribution(captureLagBuckets)
  readonly #reloads: Record<ReloadOutcome, number> = { applied: 0, rejected: 0 }
  readonly #closeProcess: () => void
  #notRedactable = 0
  #activityFailed = 0
  /** Read once per scrape, so that the identity holds among its numbers. */
  #mirrors: readonly DeliveryView[] = []
  #streams: readonly DeliveryView[] = []

  constructor(source: MetricsSource, build: { readonly version: string }) {
    this.#source = source
    const families = this.#families
    families.gauge('build_info', 'Version of the gateway and of Node; always 1.', () => [
      { labels: { version: build.version, node: process.version }, value: 1 },
    ])
    addHttpFamilies(families, source)
    const tally = this.#deliveries
    addDeliveryFamilies(families, 'mirror', { views: () => this.#mirrors, tally, key: (name) => name })
    addDeliveryFamilies(families, 'stream', { views: () => this.#streams, tally, key: source.streamKey })
    this.#addCaptureFamilies(families, source)
    addActivityFamilies(families, () => source.activity())
    addSecretFamilies(families, () => source.secrets())
    addIncidentFamilies(families, () => source.incidents())
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
  countAttempt(owner: string, leg: string, outcome: AttemptOutcome): void {
    this.#deliveries.countAttempt(owner, leg, outcome)
  }

  /** `items` items acknowledged, `seconds` after they were captured. */
  observeDelivery(owner: string, leg: string, seconds: number, items: number): void {
    this.#deliveries.observeDelivery(owner, leg, seconds, items)
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
    this.#mirrors = this.#source.mirrors()
    this.#streams = this.#source.streams()
    const keys = this.#streams.map(({ name }) => this.#source.streamKey(name))
    this.#deliveries.keepOnly(new Set([...this.#mirrors.map(({ name }) => name), ...keys]))
    return { type: registry.contentType, text: await registry.metrics() }
  }

  close(): void {
    this.#closeProcess()
  }
}
