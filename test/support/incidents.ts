/** Incidents of a running gateway, as its admin port shows them. */
import type { IncidentDetailView, IncidentView } from '../../src/admin/incident-commands.ts'
import type { TestGateway } from './gateway.ts'
import { until } from './wait.ts'

/** All of them, or those of a state or kind: newest first. */
export async function incidentsOf({ admin }: TestGateway, query = ''): Promise<IncidentView[]> {
  const { data } = await admin.json<{ data: IncidentView[] }>('GET', `/api/incidents?${query}`)
  return data
}

/** Waits for an incident of a kind in a state, and resolves with the newest. */
export function incidentComes(
  gateway: TestGateway,
  kind: string,
  state: 'open' | 'closed' = 'open',
): Promise<IncidentView> {
  return until(async () => (await incidentsOf(gateway, `kind=${kind}&state=${state}`))[0], {
    what: `${kind} is ${state}`,
    within_ms: 15_000,
  })
}

export function incidentOf({ admin }: TestGateway, id: number): Promise<IncidentDetailView> {
  return admin.json('GET', `/api/incidents/${id}`)
}
