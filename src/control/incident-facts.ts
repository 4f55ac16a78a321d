/** What stands around an incident, for messages about it: whom it concerns, and what waits there. */
import type { DeliveryView } from '../admin/commands.ts'
import { pointerTo } from '../config/places.ts'
import type { Config, ConnectionConfig, DeliveryConfig } from '../config/schema.ts'
import type { FactsMirror, Incident, IncidentFacts } from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import { referencesOf, referenceText } from '../contract/secret-reference.ts'
import { ownersOf } from '../shipper/legs.ts'
import { type Owner, ownerKey } from '../shipper/owners.ts'
import { keepMs } from './activity-host.ts'
import { isOfLog } from './backlog-watch.ts'

export interface FactsSource {
  readonly config: () => Config
  readonly admin: () => { readonly host: string; readonly port: number }
  readonly view: (owner: Owner) => DeliveryView | null
}

export function factsOf(
  incident: Pick<Incident, 'kind' | 'subject' | 'legs'>,
  source: FactsSource,
): IncidentFacts {
  const config = source.config()
  const concerned = ownersOf(config).filter(({ owner, delivery }) =>
    concerns(incident, owner, connected(delivery, config)),
  )
  const { host, port } = source.admin()
  return {
    workspace: config.workspace.name,
    admin_url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    mirrors: concerned
      .slice(0, limits.incident_list_max)
      .map(({ owner, delivery }) => ownerFacts(owner, { delivery, config }, source.view(owner))),
  }
}

interface Connected {
  readonly delivery: DeliveryConfig
  readonly connection: ConnectionConfig | undefined
}

function connected(delivery: DeliveryConfig, config: Config): Connected {
  const connection = config.connections.find(({ name }) => name === delivery.connection)
  return { delivery, connection }
}

function concerns(
  { kind, subject, legs }: Pick<Incident, 'kind' | 'subject' | 'legs'>,
  owner: Owner,
  settings: Connected,
): boolean {
  const prefix = `${ownerKey(owner)}/`
  if (Object.keys(legs).some((key) => key.startsWith(prefix))) return true
  if (kind === 'data_dropped') return subject.startsWith(prefix)
  if (kind === 'spool_nearly_full') return subject === ownerKey(owner)
  return kind === 'secret_unavailable' && referencesIn(settings).includes(subject)
}

function ownerFacts(
  owner: Owner,
  { delivery, config }: { readonly delivery: DeliveryConfig; readonly config: Config },
  view: DeliveryView | null,
): FactsMirror {
  const settings = connected(delivery, config)
  const { retention_ms: spoolMs } = delivery.spool
  const logMs = keepMs(config, config.environment)
  return {
    ...owner,
    sink: delivery.sink,
    connection: delivery.connection ?? null,
    headers: Object.keys(settings.connection?.headers ?? {}).slice(0, limits.incident_list_max),
    references: referencesIn(settings).slice(0, limits.incident_list_max),
    legs: (view?.legs ?? []).map((leg) => {
      const { name, url, counts, waiting_bytes, oldest_waiting_at: oldest } = leg
      const kept = isOfLog(owner, leg) ? logMs : spoolMs
      const kept_until = oldest === null ? null : Date.parse(oldest) + kept
      return { name, url, waiting: counts.waiting, waiting_bytes, kept_until }
    }),
  }
}

/** The secrets that a mirror and its connection refer to; the texts that are templates hold no value. */
function referencesIn({ delivery, connection }: Connected): string[] {
  const { options, secret_fields } = delivery
  const own = secret_fields.map((field) => String(options[field.slice('/options/'.length)] ?? ''))
  const templates = [...own, ...templatesOf(connection)]
  return [...new Set(templates.flatMap((text) => referencesOf(text).map(referenceText)))]
}

function templatesOf(connection: ConnectionConfig | undefined): string[] {
  if (connection === undefined) return []
  const { headers, base_url = '', proxy_url = '', tls, secret_fields = [] } = connection
  const texts = new Map([
    ['/base_url', base_url],
    ['/proxy_url', proxy_url],
    ['/tls/server_name', tls?.server_name ?? ''],
    ...Object.entries(headers).map(([name, text]): [string, string] => [pointerTo('/headers', name), text]),
  ])
  return secret_fields.map((field) => texts.get(field) ?? '')
}

/** Every secret that something of a configuration refers to. */
export function referencesOfAll(config: Config): Set<string> {
  const ofOwners = ownersOf(config).flatMap(({ delivery }) => referencesIn(connected(delivery, config)))
  return new Set([...ofOwners, ...referencesOfChannels(config)])
}

/** The secrets that channels of notifications refer to. */
function referencesOfChannels({ notifications }: Config): string[] {
  const { email, webhook, secret_fields } = notifications
  const texts = new Map([
    ['/email/smtp/username', email?.smtp.username ?? ''],
    ['/email/smtp/password', email?.smtp.password ?? ''],
    ['/webhook/url', webhook?.url ?? ''],
    ...Object.entries(webhook?.headers ?? {}).map(([name, text]): [string, string] => [
      pointerTo('/webhook/headers', name),
      text,
    ]),
  ])
  return secret_fields.flatMap((field) => referencesOf(texts.get(field) ?? '').map(referenceText))
}
