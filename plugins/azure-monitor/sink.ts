/** Writes events to a table of Azure Monitor (Log Analytics, Microsoft Sentinel). */
import {
  type Batch,
  defineSink,
  OutcomeError,
  publicUrl,
  type SinkContext,
  type Static,
  Type,
} from 'mirrorgate/plugin'
import { address, identityOptions, identityRule } from '../azure/entra.ts'
import { assertPlain, collectorAddress, dataCollector } from './data-collector.ts'
import { logsIngestion } from './logs-ingestion.ts'
import { callBody, type Shape } from './rows.ts'

const named = (pattern: string, rule: string, description: string) =>
  Type.Optional(Type.String({ pattern, rule, description }))

const options = Type.Object(
  {
    endpoint: address(
      'Where logs are ingested: the logs ingestion URI of the data collection rule, or of its data ' +
        'collection endpoint.',
    ),
    rule_id: named(
      '^dcr-[0-9a-f]{32}$',
      'must be the immutable ID of the rule: dcr- and 32 hexadecimal digits',
      'Immutable ID of the data collection rule.',
    ),
    stream: named(
      '^(Custom|Microsoft)-[A-Za-z0-9_-]{1,100}$',
      'must be the name of a stream of the rule, like Custom-MirrorGate_CL',
      'The stream, as the rule declares it.',
    ),
    columns: Type.Enum(['raw', 'event'], {
      default: 'raw',
      description:
        'raw: TimeGenerated, EventId, Part, Parts and RawData, the whole event as text; event: ' +
        'TimeGenerated and a column for each field of the event.',
    }),
    ...identityOptions,
    audience: Type.String({
      default: 'https://monitor.azure.com',
      pattern: '^https://[^?#@]+$',
      rule: 'must be an https URL without user, query and fragment',
      description: 'Whom tokens are for; in other clouds https://monitor.azure.us, https://monitor.azure.cn.',
    }),
    api: Type.Enum(['logs_ingestion', 'data_collector'], {
      default: 'logs_ingestion',
      description:
        'data_collector: the HTTP Data Collector API, which Azure retired on 14 September 2026; it takes ' +
        'workspace_id, shared_key and log_type.',
    }),
    workspace_id: named(
      '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$',
      'must be the ID of a workspace: a UUID',
      'Of the workspace; for data_collector only.',
    ),
    shared_key: Type.Optional(
      Type.String({ minLength: 1, secret: true, description: 'Its key; for data_collector only.' }),
    ),
    log_type: named(
      '^[A-Za-z][A-Za-z0-9_]{0,99}$',
      'must be at most 100 letters, digits and underscores, a letter first',
      'Name of the table without _CL; for data_collector only.',
    ),
  },
  { additionalProperties: false },
)

export type Options = Static<typeof options>

/** One of the two APIs. */
export interface Api {
  /** Resolves when the service has taken the rows; throws an `OutcomeError` otherwise. */
  post(body: Buffer, batch: Batch, signal: AbortSignal): Promise<void>
}

const reserved = ['_resourceid', 'id', '_subscriptionid', 'tenantid', 'type', 'uniqueid', 'title']
// A little below the 64 KB and 32 KB of Azure, which does not say how it counts.
const shapes = {
  logs_ingestion: { timeColumn: 'TimeGenerated', textColumn: 'RawData', valueBytesMax: 64_000, reserved },
  data_collector: {
    timeColumn: 'EventTime',
    textColumn: 'EventText',
    valueBytesMax: 32_000,
    // It answers 400 to these names (Data Collector API, reserved properties).
    reserved: [...reserved, 'tenant', 'timegenerated', 'rawdata'],
  },
}

/** What belongs to one API, and what to the other. */
const ingestionKeys = ['endpoint', 'rule_id', 'stream'] as const
const collectorKeys = ['workspace_id', 'shared_key', 'log_type'] as const

export default defineSink({
  name: 'azure-monitor',
  summary: 'Writes events to a table of Azure Monitor (Log Analytics, Microsoft Sentinel).',
  options,
  formats: ['exchange'],
  urls: [],
  limits: { batch_bytes: 1_000_000, batch_items: 10_000, item_bytes: 1_000_000 },
  signsIn: true,
  rule(own) {
    const old = own.api === 'data_collector'
    const [wanted, other] = old
      ? [collectorKeys, [...ingestionKeys.slice(1), 'tenant_id', 'client_id', 'client_secret'] as const]
      : [ingestionKeys, collectorKeys]
    const missing = wanted.find((key) => own[key] === undefined)
    if (missing !== undefined) return { key: missing, rule: `must be set with api ${own.api}` }
    const surplus = other.find((key) => own[key] !== undefined)
    if (surplus !== undefined) return { key: surplus, rule: `must not stand beside api ${own.api}` }
    return identityRule(own)
  },
  legs: (own) => [{ name: 'rows', half: 'exchange', url: publicUrl(addressOf(own)) }],
  create(context) {
    const { columns, api } = context.options
    const shape: Shape = { columns, ...shapes[api] }
    const service = open(context, shape)
    return {
      write: async (batch, signal) => service.post(callBody(batch, shape), batch, signal),
      close() {},
    }
  },
})

function addressOf(own: Options): string {
  if (own.api === 'data_collector') return `${collectorAddress(own)}/${own.log_type}`
  return `${own.endpoint?.replace(/(?<!\/)\/+$/, '')}/${own.rule_id}/${own.stream}`
}

function open({ options: own, http, compression }: SinkContext<Options>, { timeColumn }: Shape): Api {
  if (own.api === 'data_collector') {
    assertPlain(compression)
    return dataCollector(own, timeColumn, http)
  }
  if (compression === 'zstd')
    throw new OutcomeError('refused', 'batch.compression must be none or gzip, got zstd')
  return logsIngestion(own, http)
}
