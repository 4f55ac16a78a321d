/** The schema of `secrets`: where secrets are kept, how long they are, and the key that seals. */
import { Type } from '../contract/schema.ts'
import { count, DAY, entry, HOUR, name, section, text } from './fields.ts'

/** What every provider has; a provider's own keys stand beside these. */
export const Provider = entry(
  {
    name: name('Name by which references name it.'),
    provider: Type.String({ minLength: 1, description: 'Its kind: one of the plugins.' }),
  },
  'A place that keeps secrets.',
)

export const Secrets = section(
  {
    providers: Type.Array(Provider, {
      default: [],
      maxItems: 50,
      description: 'Places that keep secrets. `env` is there without being named.',
    }),
    workato: Type.Optional(
      text('Name of the provider that reads {{workato:sm:…}}; needed where there are several.'),
    ),
    cache: section(
      {
        ttl_ms: count(HOUR, 100, 30 * DAY, 'Age after which a secret is read again before it is used.'),
        stale_ms: count(
          DAY,
          0,
          365 * DAY,
          'How much longer a secret may be used while its provider cannot be read.',
        ),
        negative_ms: count(
          10_000,
          0,
          HOUR,
          'How long a secret that could not be read is not asked for again.',
        ),
        max_entries: count(1000, 1, 100_000, 'Secrets that are kept; the least recently used one gives way.'),
        timeout_ms: count(10_000, 50, 300_000, 'Time a provider has to answer.'),
      },
      'The cache of secrets, in memory only.',
    ),
    key_file: Type.Optional(
      text(
        'File with the keys that seal what the API is given to keep, the newest first: 32 bytes each, as ' +
          'hex or base64. Default: the variable MIRRORGATE_SEAL_KEY, or else a key that is made in ' +
          'data_dir/seal-key.',
      ),
    ),
  },
  'Where secrets are kept, and for how long they are used.',
)
