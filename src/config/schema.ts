/**
 * The schema of gateway.yaml: one value gives the types, the validation, the defaults, the reference page and
 * the JSON Schema for editors. Names are fixed by users' files: extend, never rename.
 */
import type { Static } from 'typebox'
import { environments } from '../contract/environments.ts'
import { limits } from '../contract/limits.ts'
import type { ItemFormat, LegSpec } from '../contract/plugin.ts'
import type { ResourceKind } from '../contract/resources.ts'
import { Type } from '../contract/schema.ts'
import type { RecordMessage } from '../contract/tasks.ts'
import { count, later, section, text } from './fields.ts'
import { ActivitySection } from './schema-activity.ts'
import { Collection } from './schema-collection.ts'
import { Admin, Listen } from './schema-listen.ts'
import { Connection, MirrorCommon } from './schema-mirror.ts'
import { Notifications, type NotificationsSection } from './schema-notifications.ts'
import { Secrets } from './schema-secrets.ts'
import { StreamCommon } from './schema-stream.ts'

export { MirrorCommon } from './schema-mirror.ts'
export { StreamCommon } from './schema-stream.ts'

export const GatewaySchema = Type.Object(
  {
    environment: Type.Enum([...environments], {
      default: 'dev',
      description: 'Environment of this gateway; stamped into items.',
    }),
    workspace: section(
      {
        id: count(1, 0, Number.MAX_SAFE_INTEGER, 'Id of the workspace.'),
        name: text('Name of the workspace.', { default: 'mirrorgate' }),
        email: text('Address of the workspace.', { default: 'ops@example.com' }),
        time_zone: text('IANA time zone.', { default: 'UTC', format: 'time-zone' }),
      },
      'Stamped into activity entries.',
    ),
    data_dir: text(
      'Folder of the store, the spools and generated keys, relative to this file; locked while in use.',
      { default: './data' },
    ),
    plugins: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      maxItems: limits.plugins_max,
      uniqueItems: true,
      description:
        'Modules with sinks and providers of your own: paths from this file that begin with ./, or packages.',
    }),
    listen: Listen,
    admin: Admin,
    collections: Type.Array(Collection, {
      minItems: 1,
      maxItems: limits.collections_max,
      description: 'API collections. The only required section.',
    }),
    connections: Type.Array(Connection, { default: [], maxItems: 1000, description: 'Reusable endpoints.' }),
    mirrors: Type.Array(MirrorCommon, {
      default: [],
      maxItems: limits.mirrors_max / 2,
      description: 'Mirrors.',
    }),
    capture: section(
      {
        buffer_bytes: count(
          67_108_864,
          4_194_304,
          Number.MAX_SAFE_INTEGER,
          'Memory for captures (open exchanges and slabs), all threads together.',
        ),
        flush_after_ms: count(
          200,
          10,
          10_000,
          'How long a captured exchange may stay in memory before it goes to the recorder.',
        ),
      },
      'Memory of the capture path.',
    ),
    streams: Type.Array(StreamCommon, {
      default: [],
      maxItems: limits.streams_max,
      description: 'Streams of events to other systems.',
    }),
    webhooks: Type.Optional(later('Webhooks.')),
    notifications: Notifications,
    secrets: Secrets,
    activity: ActivitySection,
    console: Type.Optional(later('The web console.')),
    logging: section(
      {
        level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
          default: 'info',
          description: 'Lowest level that is written.',
        }),
        format: Type.Enum(['auto', 'json', 'pretty'], {
          default: 'auto',
          description: 'auto: pretty on a terminal, JSON lines otherwise.',
        }),
        access_log: Type.Boolean({ default: false, later: true, description: 'One line per request.' }),
      },
      'Logs on stdout.',
    ),
  },
  { additionalProperties: false, description: 'gateway.yaml' },
)

/** The file as validated: defaults filled in, secrets resolved. */
export type GatewayFile = Static<typeof GatewaySchema>
export type CollectionConfig = Static<typeof Collection>
export type ConnectionConfig = Static<typeof Connection> & {
  /** Pointers of its templates: texts whose references to secrets are resolved by each delivery. */
  readonly secret_fields?: readonly string[]
}
export type ListenConfig = Static<typeof Listen>
export type AdminConfig = Static<typeof Admin>

/** A plugin outside the tree, as it was loaded. */
export interface PluginModule {
  /** As the file names it. */
  readonly name: string
  /** Of its file. */
  readonly url: string
  /** Of its text at that time. */
  readonly digest: string
}

/** A provider of secrets whose own keys are split off into `options`, paths made absolute. */
export interface ProviderConfig {
  readonly name: string
  readonly provider: string
  readonly options: Readonly<Record<string, unknown>>
  /** Texts of `options` that hold references to secrets of this machine, as templates. */
  readonly templates?: Readonly<Record<string, string>>
}

export type SecretsConfig = Omit<GatewayFile['secrets'], 'providers'> & {
  readonly providers: readonly ProviderConfig[]
}

export type NotificationsConfig = NotificationsSection & {
  /** Pointers of its templates: texts whose references to secrets are resolved when something is sent. */
  readonly secret_fields: readonly string[]
}

/** What a sink fixes for the mirror or stream that uses it. */
interface SinkPart {
  /** The sink's own keys, validated by its schema, URLs made absolute where the connection has a base URL. */
  readonly options: Readonly<Record<string, unknown>>
  /** Which of them hold secrets. */
  readonly secret_options: readonly string[]
  /** Pointers of those that are templates, as in a connection. */
  readonly secret_fields: readonly string[]
  /** How the sink is to send items: what is configured, or its first format. */
  readonly item_format: ItemFormat
  /** A mirror's are its sink's, a stream's are its sources. */
  readonly legs: readonly LegSpec[]
  /** Largest item that its sink takes. */
  readonly item_bytes_max: number
}

/** A mirror whose sink's own keys are split off into `options`. */
export type MirrorConfig = Static<typeof MirrorCommon> &
  SinkPart & {
    /** Of format `template`. */
    readonly message?: RecordMessage
  }

/** A stream likewise; one delivery at a time keeps its order. */
export type StreamConfig = Static<typeof StreamCommon> & SinkPart & { readonly concurrency: 1 }

/** What delivering needs of either. */
export type DeliveryConfig = Pick<
  MirrorConfig | StreamConfig,
  | 'name'
  | 'enabled'
  | 'sink'
  | 'connection'
  | 'batch'
  | 'retry'
  | 'timeout_ms'
  | 'concurrency'
  | 'max_bytes_per_second'
  | 'spool'
  | keyof SinkPart
>

/** One frozen configuration: plain data, can be cloned to any thread. */
export type Config = Omit<
  GatewayFile,
  'mirrors' | 'streams' | 'listen' | 'connections' | 'notifications' | 'secrets' | 'plugins'
> & {
  readonly plugins: readonly PluginModule[]
  /** Increases with each applied configuration; 1 at start. */
  readonly generation: number
  /** First 16 hex digits of the SHA-256 of the effective configuration. */
  readonly hash: string
  /** Names of what the API defined; all else stands in the file. */
  readonly api: Readonly<Record<ResourceKind, readonly string[]>>
  readonly listen: ListenConfig & { readonly threads: number }
  readonly connections: readonly ConnectionConfig[]
  readonly mirrors: readonly MirrorConfig[]
  readonly streams: readonly StreamConfig[]
  readonly notifications: NotificationsConfig
  readonly secrets: SecretsConfig
}
