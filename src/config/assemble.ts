/** A file without problems → the one frozen configuration that the gateway runs on. */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import type { ItemFormat, SinkDefinition } from '../contract/plugin.ts'
import { sourcesOf } from '../contract/stream-events.ts'
import { secretOptionsOf } from './delivery-fields.ts'
import type { DeliveryDraft, Draft, Entry, MirrorDraft, StreamDraft } from './draft.ts'
import { freeze } from './freeze.ts'
import { normalHost, normalPrefix, normalUpstream } from './rules/collections.ts'
import { tlsFiles } from './rules/connections.ts'
import { defaultThreads } from './rules/memory.ts'
import { DEFAULT_WITHIN_MS, sinkOptions } from './rules/deliveries.ts'
import { pointerTo } from './places.ts'
import { IMPLICIT, withPaths } from './provider-names.ts'
import type {
  Config,
  ConnectionConfig,
  MirrorConfig,
  NotificationsConfig,
  SecretsConfig,
  StreamConfig,
} from './schema.ts'
import type { ClientTlsConfig } from './schema-tls.ts'
import { providerOptions } from './validate-providers.ts'

export function assemble(draft: Draft, generation: number): Config {
  const { file } = draft
  const effective = {
    ...file,
    plugins: draft.plugins,
    data_dir: resolve(draft.folder, file.data_dir),
    listen: {
      ...file.listen,
      threads: file.listen.threads ?? defaultThreads(draft.machineThreads, file.capture.buffer_bytes),
    },
    admin: {
      ...file.admin,
      clients: file.admin.clients.map((client) => ({ environment: file.environment, ...client })),
    },
    collections: file.collections.map((collection) => ({
      ...withFiles(collection, draft.folder),
      hosts: collection.hosts.map(normalHost),
      prefix: normalPrefix(collection.prefix),
      upstreams: collection.upstreams.map((upstream) => ({ ...upstream, url: normalUpstream(upstream.url) })),
    })),
    connections: file.connections.map((connection, at) =>
      withTemplates(withFiles(connection, draft.folder), pointerTo('/connections', at), draft),
    ),
    mirrors: draft.mirrors().map((entry) => mirrorConfig(entry, draft)),
    streams: draft.streams().map((entry) => streamConfig(entry, draft)),
    notifications: notificationsConfig(draft),
    secrets: secretsConfig(draft),
  }
  // Through JSON, so that it is plain data: what a plugin's `legs` returns could be anything.
  const plain = JSON.parse(JSON.stringify(effective)) as Omit<Config, 'generation' | 'hash' | 'api'>
  const hash = createHash('sha256')
    .update(JSON.stringify(ordered(plain)))
    .digest('hex')
    .slice(0, 16)
  return freeze({ ...plain, generation, hash, api: definedByApi(draft) })
}

/** Not part of the hash: who defined something changes nothing of what it does. */
function definedByApi(draft: Draft): Config['api'] {
  const names = (entries: readonly Entry<{ readonly name: string }>[]): string[] =>
    entries.filter(({ pointer }) => !draft.isInFile(pointer)).map(({ value }) => value.name)
  return {
    collections: names(draft.collections()),
    connections: names(draft.connections()),
    mirrors: names(draft.mirrors()),
    streams: names(draft.streams()),
  }
}

/** Which of a connection's texts are templates. */
function withTemplates(connection: ConnectionConfig, pointer: string, draft: Draft): ConnectionConfig {
  const fields = [
    ...['/base_url', '/proxy_url', '/tls/server_name'],
    ...Object.keys(connection.headers).map((name) => pointerTo('/headers', name)),
  ].filter((field) => draft.isDeferred(pointer + field))
  return fields.length === 0 ? connection : { ...connection, secret_fields: fields }
}

function notificationsConfig(draft: Draft): NotificationsConfig {
  const { notifications } = draft.file
  const { email, webhook } = notifications
  const fields = [
    ...['/email/smtp/username', '/email/smtp/password', '/webhook/url'],
    ...Object.keys(webhook?.headers ?? {}).map((name) => pointerTo('/webhook/headers', name)),
  ]
  const { ca_file } = email?.smtp ?? {}
  return {
    ...notifications,
    ...(email !== undefined &&
      ca_file !== undefined && {
        email: { ...email, smtp: { ...email.smtp, ca_file: resolve(draft.folder, ca_file) } },
      }),
    ...(webhook !== undefined && { webhook: withFiles(webhook, draft.folder) }),
    secret_fields: fields.filter((field) => draft.isDeferred(`/notifications${field}`)),
  }
}

function secretsConfig(draft: Draft): SecretsConfig {
  const { file, folder, providers } = draft
  const listed = file.secrets.providers.map((entry, at) => {
    const { name, provider } = entry
    const definition = providers.get(provider)
    if (definition === undefined) throw new Error(`provider ${provider} is not known`)
    const options = withPaths(providerOptions(entry, definition), definition, folder)
    const templates = Object.keys(options).flatMap((key) => {
      const template = draft.templateAt(pointerTo(`/secrets/providers/${at}`, key))
      return template === null || definition.pathOptions?.includes(key) === true ? [] : [[key, template]]
    })
    return {
      name,
      provider,
      options,
      ...(templates.length > 0 && { templates: Object.fromEntries(templates) }),
    }
  })
  const implicit = providers.has(IMPLICIT) && !listed.some(({ name }) => name === IMPLICIT)
  const { key_file, ...rest } = file.secrets
  return {
    ...rest,
    ...(key_file !== undefined && { key_file: resolve(folder, key_file) }),
    providers: implicit ? [...listed, { name: IMPLICIT, provider: IMPLICIT, options: {} }] : listed,
  }
}

function sinkOf({ sink: name }: DeliveryDraft, draft: Draft): SinkDefinition {
  const sink = draft.sinks.get(name)
  if (sink === undefined) throw new Error(`sink ${name} is not known`)
  return sink
}

/** A mirror or stream without the keys of its sink, which stand beside it then. */
function apart<D extends DeliveryDraft>(entry: Entry<D>, draft: Draft) {
  const { value: delivery, pointer } = entry
  const sink = sinkOf(delivery, draft)
  const { options } = sinkOptions(draft, entry, sink)
  const common = Object.entries(delivery).filter(([key]) => !(key in sink.options.properties))
  return {
    sink,
    common: {
      ...(Object.fromEntries(common) as unknown as D),
      retry: retryOf(delivery.retry),
      options,
      secret_options: secretOptionsOf(sink),
      secret_fields: secretOptionsOf(sink)
        .filter((key) => draft.isDeferred(pointerTo(pointer, key)))
        .map((key) => pointerTo('/options', key)),
      item_bytes_max: sink.limits.item_bytes,
    },
  }
}

function mirrorConfig(entry: Entry<MirrorDraft>, draft: Draft): MirrorConfig {
  const { value: mirror } = entry
  const { sink, common } = apart(entry, draft)
  const [firstFormat] = sink.formats
  if (firstFormat === undefined) throw new Error(`sink ${mirror.sink} has no format`)
  const { id, name, time_zone } = draft.file.workspace
  const { template } = mirror
  return {
    ...(template !== undefined && {
      message: { template, name: mirror.name, workspace: { id, name, time_zone } },
    }),
    ...common,
    item_format: (mirror.format as ItemFormat | undefined) ?? firstFormat,
    legs: sink.legs(common.options),
  }
}

function streamConfig(entry: Entry<StreamDraft>, draft: Draft): StreamConfig {
  const { value: stream } = entry
  const { sink, common } = apart(entry, draft)
  const [first] = sink.formats.filter((format) => format === 'exchange' || format === 'ndjson')
  if (first === undefined) throw new Error(`sink ${stream.sink} takes no events`)
  // Lines of other formats are no JSON: nothing can make an array of them.
  const lines = stream.format !== 'json' && sink.formats.includes('ndjson')
  const url = sink.legs(common.options)[0]?.url ?? ''
  return {
    ...common,
    concurrency: 1,
    item_format: lines ? 'ndjson' : first,
    legs: sourcesOf(stream.events).map((name) => ({ name, half: 'exchange', url })),
  }
}

/** Each of the two forms with all of its values: the window, or the waits. */
function retryOf(retry: MirrorDraft['retry']): MirrorDraft['retry'] {
  const { min_wait_ms: min, max_wait_ms: max } = retry
  if (min === undefined && max === undefined) {
    return { ...retry, within_ms: retry.within_ms ?? DEFAULT_WITHIN_MS }
  }
  return {
    ...retry,
    min_wait_ms: min ?? Math.min(1000, max ?? 1000),
    max_wait_ms: max ?? Math.max(30_000, min ?? 30_000),
  }
}

function withFiles<T extends { tls?: ClientTlsConfig }>(owner: T, folder: string): T {
  if (owner.tls === undefined) return owner
  const tls = { ...owner.tls }
  for (const key of tlsFiles) {
    const file = tls[key]
    if (file !== undefined) tls[key] = resolve(folder, file)
  }
  return { ...owner, tls }
}

/** The same data with its keys in order, so that moving lines in the file does not change the hash. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, inner]) => [key, ordered(inner)]))
}
