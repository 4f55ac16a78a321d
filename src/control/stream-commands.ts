/** What only streams have: a range of the log sent again, and a look at a message before it is sent. */
import { ConflictError, type DeliveryView } from '../admin/commands.ts'
import type { Preview, PreviewRequest, StreamCommands } from '../admin/delivery-commands.ts'
import type { StreamConfig } from '../config/schema.ts'
import type { Actor } from '../contract/audit-trail.ts'
import type { RunningGateway } from '../gateway.ts'
import { checkTemplate, renderEvents } from '../render/events.ts'
import { filterOf } from '../shipper/log-filter.ts'
import { sampleItem } from '../shipper/sample.ts'
import { renderRules } from '../shipper/targets.ts'
import { payloadOf } from '../store/activity/format.ts'

export class GatewayStreams implements StreamCommands {
  readonly #gateway: RunningGateway

  constructor(gateway: RunningGateway) {
    this.#gateway = gateway
  }

  #find(name: string): StreamConfig | undefined {
    return this.#gateway.config.streams.find((stream) => stream.name === name)
  }

  async replayRange(
    name: string,
    range: { readonly from: number; readonly to: number },
    actor: Actor,
  ): Promise<DeliveryView | null> {
    const { deliveries, config, trail } = this.#gateway
    const stream = this.#find(name)
    if (stream === undefined) return null
    if (!stream.enabled) throw new ConflictError(`stream ${name} is disabled: enable it first`)
    if (!stream.legs.some((leg) => leg.name === 'activity'))
      throw new ConflictError(`stream ${name} has no events of the activity log`)
    if (!(await deliveries.again(stream, config, range)))
      throw new ConflictError(`stream ${name} is still looking for an earlier range: try again later`)
    const [from, to] = [range.from, range.to].map((at) => new Date(at).toISOString()) as [string, string]
    await trail.record({ event: 'stream_replayed', actor, resource: { name }, details: { from, to } })
    return deliveries.view({ kind: 'streams', name })
  }

  isReplaying(name: string): boolean {
    return this.#gateway.deliveries.sendsAgain(name)
  }

  async preview(request: PreviewRequest): Promise<Preview | { problem: string } | null> {
    const { config } = this.#gateway
    const stream = request.stream === undefined ? undefined : this.#find(request.stream)
    if (request.stream !== undefined && stream === undefined) return null
    const problem = request.message === undefined ? null : checkTemplate(request.message)
    if (problem !== null)
      return { problem: `${problem.message}, at line ${problem.line}, column ${problem.column}` }
    const rules = renderRules(
      {
        name: stream?.name ?? 'preview',
        ...(stream !== undefined && { sink: stream.sink }),
        format: request.format ?? stream?.format ?? 'json',
        message: request.message ?? stream?.message,
        mask_data: request.mask_data ?? stream?.mask_data ?? false,
      },
      config,
    )
    const real = await this.#newest(stream)
    const line = real ?? sampleItem('exchange', config.environment, { item_format: 'exchange' })
    const rendered = renderEvents(Buffer.from(line), rules).toString().trimEnd()
    return { event: JSON.parse(line) as unknown, is_sample: real === null, rendered }
  }

  /** The newest entry of the log that a stream would send, as a line; null when there is none. */
  async #newest(stream: StreamConfig | undefined): Promise<string | null> {
    const { config, store } = this.#gateway
    const { environment } = config
    if (stream !== undefined && !stream.legs.some(({ name }) => name === 'activity')) return null
    const filter = stream === undefined ? { environment } : filterOf(stream, environment)
    const { data } = await store.activity.page({ ...filter, size: 1, order: 'desc' })
    for (const { id } of data)
      for (const { value } of store.activity.feed.entries(id, id + 1)) return `${payloadOf(value)}\n`
    return null
  }
}
