/** The webhook channel: each event as one JSON object, POSTed to a URL. */
import { createHash } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { OutcomeError } from '../contract/errors.ts'
import type { PendingNotice } from '../contract/incidents.ts'
import { scrubber } from '../contract/scrub.ts'
import type { Target } from '../contract/tasks.ts'
import type { SecretSource } from '../secrets/secrets.ts'
import { ChannelCredentials, type Filled } from './credentials.ts'
import { incidentEvent } from './messages.ts'
import { type Channel, ChannelError } from './outbox.ts'

export type WebhookConfig = NonNullable<Config['notifications']['webhook']>

export interface WebhookParts {
  readonly settings: () => { readonly webhook: WebhookConfig; readonly templates: ReadonlySet<string> }
  readonly secrets: SecretSource
}

export class WebhookChannel implements Channel {
  readonly perHourMax = Number.POSITIVE_INFINITY
  readonly #parts: WebhookParts
  readonly #credentials: ChannelCredentials

  constructor(parts: WebhookParts) {
    this.#parts = parts
    this.#credentials = new ChannelCredentials(parts.secrets)
  }

  async send(notices: readonly PendingNotice[]): Promise<void> {
    for (const notice of notices) await this.post(incidentEvent(notice))
  }

  async post(event: object): Promise<void> {
    const { webhook, templates } = this.#parts.settings()
    const texts = { url: webhook.url, ...prefixed(webhook.headers) }
    const filled = await this.#credentials.fill(texts, templates)
    try {
      await deliver(event, webhook, filled)
    } catch (error) {
      if (!(error instanceof RefusedCredentials) || templates.size === 0) throw error
      const fresh = await this.#credentials.again(texts, templates)
      if (JSON.stringify(fresh.texts) === JSON.stringify(filled.texts)) throw error
      await deliver(event, webhook, fresh)
    }
  }
}

const HEADER = 'header '

function prefixed(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [HEADER + name, value]))
}

/** The receiver does not take what the URL or the headers hold. */
class RefusedCredentials extends ChannelError {}

async function deliver(event: object, webhook: WebhookConfig, { texts, secrets }: Filled): Promise<void> {
  const target = targetOf(webhook, texts, secrets)
  // Its client is 80 modules: a start waits for none of them.
  const { createSinkHttp } = await import('../contract/http.ts')
  let close = async () => {}
  try {
    const client = createSinkHttp(target)
    close = client.close
    const body = Buffer.from(JSON.stringify(event))
    await client.http.post(texts['url'] ?? '', { body }, AbortSignal.timeout(webhook.timeout_ms))
  } catch (error) {
    throw toChannelError(error, scrubber(target))
  } finally {
    await close()
  }
}

/** What the HTTP client takes; a webhook has no connection of its own in the configuration. */
function targetOf(
  webhook: WebhookConfig,
  texts: Readonly<Record<string, string>>,
  secrets: readonly string[],
): Target {
  const headers = Object.entries(texts)
    .filter(([name]) => name.startsWith(HEADER))
    .map(([name, value]) => [name.slice(HEADER.length), value])
  const connection = {
    baseUrl: null,
    headers: Object.fromEntries(headers) as Record<string, string>,
    caseSensitive: true,
    tls: webhook.tls ?? null,
    proxyUrl: null,
    // The URL itself is what lets a message in, with many receivers.
    secretValues: [...secrets, texts['url'] ?? ''],
    sockets: 1,
  }
  const key = createHash('sha256').update(JSON.stringify(connection)).digest('base64url')
  return {
    ...{
      key,
      owner: 'notifications',
      mirror: 'notifications',
      sink: 'webhook',
      format: 'ndjson',
      options: {},
    },
    ...{
      compression: 'none' as const,
      render: null,
      origin: { environment: '', workspaceId: 0 },
      templates: [],
      secretOptions: [],
      connection,
    },
  }
}

/** What one receiver refuses it refuses of all: every failure is the channel's, except a bad message. */
function toChannelError(error: unknown, scrub: (text: string) => string): ChannelError {
  if (!(error instanceof OutcomeError)) return new ChannelError('channel', 'the webhook failed')
  const said = error.answer === null || error.answer === '' ? '' : `: ${error.answer}`
  const sentence = `webhook: ${scrub(error.message.replace('the collector', 'the receiver'))}${said}`
  if (error.kind === 'unauthorized') return new RefusedCredentials('channel', sentence)
  const isOfMessage = error.kind === 'rejected' || error.kind === 'too_large'
  return new ChannelError(isOfMessage ? 'message' : 'channel', sentence)
}
