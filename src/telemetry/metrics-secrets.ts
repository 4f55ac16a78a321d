/** Metrics of the secrets cache and of the providers behind it. */
import type { Families } from './family.ts'

export interface SecretsTally {
  /** Secrets in the cache. */
  readonly entries: number
  /** Reads of each provider, cached ones left out. */
  readonly reads: readonly { readonly provider: string; readonly result: string; readonly count: number }[]
}

export function addSecretFamilies(families: Families, tally: () => SecretsTally): void {
  families.gauge('secrets_cache_entries', 'Secrets in the cache.', () => [
    { labels: {}, value: tally().entries },
  ])
  families.counter('secret_reads_total', 'Secrets asked of their providers, by what came of it.', () =>
    tally().reads.map(({ provider, result, count }) => ({ labels: { provider, result }, value: count })),
  )
}
