/** The HTTP Data Collector API, which Azure retired in September 2026: signed by the key of a workspace. */
import { createHmac } from 'node:crypto'
import { OutcomeError, type SinkHttp } from 'mirrorgate/plugin'
import { explained } from './errors.ts'
import type { Api, Options } from './sink.ts'

/** What its error codes mean where the status alone misleads (Data Collector API, return codes). */
const meanings = {
  403: 'check workspace_id, shared_key, and the clock of this machine',
  404: 'there is no collector at endpoint; Azure retired it in September 2026: use api logs_ingestion',
  410: 'Azure retired this API in September 2026: use api logs_ingestion',
  InactiveCustomer: 'the workspace is closed',
  InvalidCustomerId: 'workspace_id is not that of a workspace',
  InvalidLogType: 'log_type must be letters, digits and underscores',
}

export function collectorAddress({ endpoint, workspace_id = '' }: Options): string {
  return (endpoint ?? `https://${workspace_id}.ods.opinsights.azure.com`).replace(/(?<!\/)\/+$/, '')
}

export function dataCollector(own: Options, timeColumn: string, http: SinkHttp): Api {
  const { workspace_id = '', shared_key = '', log_type = '' } = own
  const url = `${collectorAddress(own)}/api/logs?api-version=2016-04-01`
  const key = Buffer.from(shared_key, 'base64')
  return {
    async post(body, batch, signal) {
      const date = new Date().toUTCString()
      const signed = `POST\n${body.length}\napplication/json\nx-ms-date:${date}\n/api/logs`
      const signature = createHmac('sha256', key).update(signed).digest('base64')
      const headers = {
        authorization: `SharedKey ${workspace_id}:${signature}`,
        'log-type': log_type,
        'x-ms-date': date,
        'time-generated-field': timeColumn,
      }
      await http.post(url, { body, headers, batch }, signal).catch((error: unknown) => {
        throw explained(error, { meanings, hidden: signature, unknown: 'rejected' })
      })
    },
  }
}

/** The signature is over the length of what is sent; the service names no compression that it takes. */
export function assertPlain(compression: string): void {
  if (compression !== 'none')
    throw new OutcomeError(
      'refused',
      `batch.compression must be none with api data_collector, got ${compression}`,
    )
}
