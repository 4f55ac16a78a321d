/** Gateways with streams, and entries of the activity log for them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DeliveryView } from '../../src/admin/commands.ts'
import type { TestGateway } from './gateway.ts'
import type { Event, Receiver } from './receiver.ts'
import { ask } from './resources.ts'
import { expectIdentity, until } from './wait.ts'

type Section = Record<string, unknown>

/** One stream with short times. */
export function stream(name: string, more: Section = {}): Section {
  return {
    name,
    sink: 'http',
    connection: 'siem',
    url: `/${name}`,
    events: ['activity'],
    match: { event_types: ['thing_done'] },
    batch: { max_wait_ms: 20 },
    retry: { attempts: 2, min_wait_ms: 50, max_wait_ms: 200, probe_ms: 100 },
    timeout_ms: 2000,
    ...more,
  }
}

/** One stream of posted events. */
export function postedStream(name: string, events: readonly string[], more: Section = {}): Section {
  return stream(name, { events, match: {}, ...more })
}

export async function postEvents(gateway: TestGateway, body: string, type = 'application/json') {
  const token = (await readFile(join(gateway.dataDir, 'admin-token'), 'utf8')).trim()
  const response = await fetch(`http://127.0.0.1:${gateway.adminPort}/api/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': type },
    body,
    signal: AbortSignal.timeout(30_000),
  })
  return { status: response.status, json: (await response.json()) as Section }
}

/** A gateway that forwards nowhere and streams to one receiver. */
export function streamsConfig(receiver: string, streams: readonly Section[], rest: Section = {}): Section {
  return {
    collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }],
    connections: [{ name: 'siem', base_url: receiver }],
    streams,
    ...rest,
  }
}

/** Puts entries named thing-<from> … into the log. */
export async function happen(
  gateway: TestGateway,
  count: number,
  from = 0,
  over: Section = {},
): Promise<number[]> {
  const ids: number[] = []
  for (let at = from; at < from + count; at += 500) {
    const entries = Array.from({ length: Math.min(500, from + count - at) }, (_, index) => ({
      event_type: 'thing_done',
      user: { id: 7, name: 'Jie', email: 'jie@example.com' },
      resource: { id: at + index, name: `thing-${at + index}`, type: 'Flow' },
      ...over,
    }))
    const answer = await ask(gateway, 'POST', '/api/activity_logs', { body: entries })
    if (answer.status !== 202) throw new Error(`adding entries: ${answer.status} ${answer.text}`)
    ids.push(...(answer.json['data'] as { ids: number[] }).ids)
  }
  return ids
}

/** Names of the things in events, in order. */
export function things(events: readonly Event[]): string[] {
  return events.map((event) => (event['resource'] as { name: string }).name)
}

export const thingNames = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, at) => `thing-${from + at}`)

export async function streamView(gateway: TestGateway, name: string): Promise<DeliveryView> {
  const { status, text, json } = await ask(gateway, 'GET', `/api/streams/${name}`)
  if (status !== 200) throw new Error(`stream ${name}: ${status} ${text}`)
  return json as unknown as DeliveryView
}

/** Waits until a stream has delivered so many events; asserts the identity. */
export async function streamed(gateway: TestGateway, name: string, events: number): Promise<DeliveryView> {
  const view = await until(
    async () => {
      const now = await streamView(gateway, name)
      return now.counts.delivered >= events && now.counts.waiting === 0 && now
    },
    { what: `${name} has delivered ${events} events`, within_ms: 15_000 },
  )
  expectIdentity(view)
  return view
}

/** Waits until so many events were accepted on the path of a stream. */
export async function arrived(receiver: Receiver, name: string, events: number): Promise<Event[]> {
  await until(() => receiver.events(`/${name}`).length >= events, {
    what: `${events} events arrive at /${name}`,
    within_ms: 15_000,
  })
  return receiver.events(`/${name}`)
}
