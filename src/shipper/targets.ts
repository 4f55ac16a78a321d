/** What the recorder and the shipper need of a configured mirror: plain data for their tasks. */
import { createHash } from 'node:crypto'
import path from 'node:path'
import type {
  Config,
  ConnectionConfig,
  DeliveryConfig,
  MirrorConfig,
  StreamConfig,
} from '../config/schema.ts'
import { limits } from '../contract/limits.ts'
import type { DeliveryKind } from '../contract/resources.ts'
import type { RecordMirror, RenderRules, Target } from '../contract/tasks.ts'
import { signingKeyFile } from '../store/activity/signing.ts'
import { legSpoolBytes } from './janitor.ts'
import { type Owner, ownerKey } from './owners.ts'
import { segmentBytesFor } from './segment.ts'

/**
 * How to reach the destination of a mirror. Holds what was written as a secret: lives in memory, goes to the
 * shipper threads, nowhere else.
 */
export function targetOf(
  owner: Owner,
  mirror: DeliveryConfig,
  connection: ConnectionConfig | undefined,
  { origin, render }: Pick<Target, 'origin' | 'render'>,
): Target {
  const target = {
    owner: ownerKey(owner),
    mirror: mirror.name,
    sink: mirror.sink,
    format: mirror.item_format,
    options: mirror.options,
    secretOptions: mirror.secret_options,
    origin,
    compression: mirror.batch.compression,
    render,
    templates: [...(connection?.secret_fields ?? []), ...mirror.secret_fields],
    connection: {
      baseUrl: connection?.base_url ?? null,
      headers: connection?.headers ?? {},
      caseSensitive: connection?.case_sensitive_headers ?? false,
      tls: connection?.tls ?? null,
      proxyUrl: connection?.proxy_url ?? null,
      secretValues: [],
      sockets: mirror.concurrency * mirror.legs.length,
    },
  }
  const key = createHash('sha256').update(JSON.stringify(target)).digest('base64url')
  return { key, ...target }
}

/** What a stream says of its messages. */
type StreamMessage = Pick<StreamConfig, 'name' | 'format' | 'mask_data'> & {
  readonly sink?: string
  readonly message?: string | undefined
}

/** What the events of a stream are made into. */
export function renderRules(
  { name, sink, format, message, mask_data }: StreamMessage,
  { environment, workspace, data_dir }: Pick<Config, 'environment' | 'workspace' | 'data_dir'>,
): RenderRules {
  // Receivers of audit webhooks expect the lines of Konnect, signed; a template is a form of one's own.
  const konnect = sink === 'webhook' && message === undefined
  return {
    format: format === 'ndjson' ? 'json' : format,
    dialect: konnect ? 'konnect' : 'plain',
    signingKeyFile: konnect ? signingKeyFile(data_dir) : null,
    template: message ?? null,
    maskData: mask_data,
    environment,
    workspace: { id: workspace.id, name: workspace.name, time_zone: workspace.time_zone },
    name,
    organizationId: String(workspace.id),
  }
}

type RecordLegs = readonly { readonly index: number; readonly name: string; readonly folder: string }[]

/** Of the gateway, whatever is recorded. */
interface RecordGateway {
  readonly environment: string
  /** Key of redaction by hash, where a mirror or stream has none of its own. */
  generatedKey(): string
}

/** What the recorder does for one mirror. */
export function recordMirror(
  mirror: MirrorConfig,
  gateway: RecordGateway,
  slot: number,
  legs: RecordLegs,
): RecordMirror {
  const { item_format: format, message } = mirror
  const rules = recordRules(mirror, gateway, legs)
  return { slot, format, ...(message !== undefined && { message }), ...rules }
}

/** What it does for a stream of exchanges. */
export function recordStream(
  stream: StreamConfig,
  gateway: RecordGateway,
  slot: number,
  legs: RecordLegs,
): RecordMirror {
  const format = stream.events.includes('api_details') ? 'api_details' : 'api_summary'
  return { slot, format, ...recordRules(stream, gateway, legs) }
}

function recordRules(
  delivery: MirrorConfig | StreamConfig,
  { environment, generatedKey }: RecordGateway,
  legs: RecordLegs,
): Omit<RecordMirror, 'slot' | 'format'> {
  const { batch, capture, redact, spool } = delivery
  return {
    legs: legs.map(({ index, name, folder }) => ({
      leg: index,
      name,
      half: delivery.legs.find((leg) => leg.name === name)?.half ?? 'exchange',
      folder,
    })),
    environment,
    bodyBytes: capture.body_bytes,
    requestBody: capture.request_body,
    responseBody: capture.response_body,
    decode: capture.decode,
    redact: {
      defaults: redact.defaults,
      mode: redact.mode,
      headers: redact.headers,
      query: redact.query,
      jsonFields: redact.json_fields,
      detect: redact.detect,
      ...(redact.mode === 'hash' && { hashKey: redact.hash_secret ?? generatedKey() }),
    },
    frameItems: frameItems(batch.max_items),
    frameBytes: batch.max_bytes,
    itemBytes: delivery.item_bytes_max,
    segmentBytes: segmentBytesFor(legSpoolBytes(delivery)),
    fsyncMs: spool.fsync_ms,
  }
}

function frameItems(batchItems: number): number {
  const { batch_items_split_min: splitMin, frames_per_batch: frames } = limits
  return batchItems < splitMin ? batchItems : Math.ceil(batchItems / frames)
}

/** Below the data folder: a folder per owner, and in it one per leg. */
export const spoolFolders: Readonly<Record<DeliveryKind, string>> = { mirrors: 'spool', streams: 'streams' }

export function legFolder(dataDir: string, { kind, name }: Owner, leg: string): string {
  return path.join(dataDir, spoolFolders[kind], name, leg)
}
