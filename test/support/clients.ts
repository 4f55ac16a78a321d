/** Clients of the admin port, made by API for a test. */
import { expect } from 'vitest'
import type { Answer, TestAdmin } from './admin.ts'

const asJson = { 'content-type': 'application/json' }

export const bearer = (token: string) => ({ as: null, headers: { authorization: `Bearer ${token}` } })

/** A request with a JSON body; as the admin, or with another token. */
export function send(
  { ask }: Pick<TestAdmin, 'ask'>,
  method: string,
  path: string,
  body?: object,
  token?: string,
): Promise<Answer> {
  return ask(method, path, {
    as: token === undefined ? 'admin' : null,
    headers: {
      ...(token === undefined ? {} : bearer(token).headers),
      ...(body === undefined ? {} : asJson),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

export interface Made {
  readonly id: number
  readonly token: string
}

export async function makeClient(
  admin: Pick<TestAdmin, 'ask'>,
  name: string,
  more: object = {},
): Promise<Made> {
  const { status, text, json } = await send(admin, 'POST', '/api/clients', { name, role: 'viewer', ...more })
  expect(status, text).toBe(201)
  return json as unknown as Made
}

/** The status of a read with a token. */
export async function statusOf({ ask }: Pick<TestAdmin, 'ask'>, token: string): Promise<number> {
  return (await ask('GET', '/api/status', bearer(token))).status
}

/** Entries of the activity log, newest first, that are about clients. */
export async function entriesOf(
  { ask }: Pick<TestAdmin, 'ask'>,
  type: string,
): Promise<Record<string, never>[]> {
  const { json } = await ask('GET', `/api/activity_logs?include_event_types[]=${type}`)
  return (json as { data: Record<string, never>[] }).data
}
