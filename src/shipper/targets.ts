/** What the recorder and the shipper need of a configured mirror: plain data for their tasks. */
import { createHash } from 'node:crypto'
import path from 'node:path'
import type { ConnectionConfig, MirrorConfig } from '../config/schema.ts'
import type { RecordMirror, Target } from '../contract/tasks.ts'
import { legSpoolBytes } from './janitor.ts'
import { segmentBytesFor } from './segments.ts'

/**
 * How to reach the destination of a mirror. Holds what was written as a secret: lives in memory, goes to the
 * shipper threads, nowhere else.
 */
export function targetOf(mirror: MirrorConfig, connection: ConnectionConfig | undefined): Target {
  const target = {
    mirror: mirror.name,
    sink: mirror.sink,
    format: mirror.item_format,
    options: mirror.options,
    secretOptions: mirror.secret_options,
    compression: mirror.batch.compression,
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

/** What the recorder does for one mirror. */
export function recordMirror(
  mirror: MirrorConfig,
  environment: string,
  slot: number,
  legs: readonly { readonly index: number; readonly name: string; readonly folder: string }[],
): RecordMirror {
  const { batch, capture, redact, spool } = mirror
  return {
    slot,
    legs: legs.map(({ index, name, folder }, at) => ({
      leg: index,
      name,
      half: mirror.legs[at]?.half ?? 'exchange',
      folder,
    })),
    format: mirror.item_format,
    ...(mirror.message !== undefined && { message: mirror.message }),
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
    },
    frameItems: batch.max_items,
    frameBytes: batch.max_bytes,
    itemBytes: mirror.item_bytes_max,
    segmentBytes: segmentBytesFor(legSpoolBytes(mirror)),
    fsyncMs: spool.fsync_ms,
  }
}

export function legFolder(dataDir: string, mirror: string, leg: string): string {
  return path.join(dataDir, 'spool', mirror, leg)
}
