/** A plan of what a stream sends, with what a case changes, and events for it. */
import { type RenderPlan, renderEvents } from '../../src/render/events.ts'
import type { Signer } from '../../src/render/konnect.ts'

export const plan: RenderPlan = {
  format: 'json',
  dialect: 'plain',
  template: null,
  maskData: false,
  environment: 'dev',
  workspace: { id: 7, name: 'Acme "Works"', time_zone: 'America/New_York' },
  name: 'siem',
  organizationId: '998db3e4-0000-4000-8000-000000000001',
}

/** The lines that a stream sends for these events. */
export function lines(
  events: readonly unknown[],
  changes: Partial<RenderPlan> = {},
  sign?: Signer,
): string[] {
  const ndjson = events.map((event) => `${typeof event === 'string' ? event : JSON.stringify(event)}\n`)
  const sent = renderEvents(Buffer.from(ndjson.join('')), { ...plan, ...changes }, sign).toString()
  return sent.split('\n').slice(0, -1)
}

/** An entry of the activity log as it is streamed. */
export const activity = {
  id: 42,
  timestamp: '2025-06-23T14:28:47.556Z',
  event_type: 'user_login',
  workspace: { id: 7, name: 'Acme', email: 'ops@example.com', environment: 'dev' },
  user: { id: 3, name: 'Ada', email: 'ada@example.com' },
  details: { request: { ip_address: '172.71.232.22', user_agent: 'curl/8' }, activity: 'password_login' },
  resource: { id: 1, name: 'Acme', type: 'Workspace' },
}
