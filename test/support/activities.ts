/** An admin port with a log that tests fill, and the entries that they fill it with. */
import { type Answer, type AskOptions, startTestAdmin, type TestAdmin } from './admin.ts'

export const path = '/api/activity_logs'

export interface ListedActivity {
  id: number
  timestamp: string
  event_type: string
  workspace: { environment: string }
  user: { id: number; name: string }
  details: Record<string, unknown>
  resource: { id: unknown; name: string; type: string }
}

export const someActivity = (over: Record<string, unknown> = {}) => ({
  event_type: 'recipe_updated',
  user: { id: 7, name: 'Jie', email: 'jie@example.com' },
  resource: { id: 1, name: 'My recipe', type: 'Flow' },
  ...over,
})

export interface TestLog extends TestAdmin {
  /** Adds entries; resolves with their ids, or fails. */
  add(...entries: readonly object[]): Promise<number[]>
  /** A body as it is, with any headers. */
  post(body: unknown, options?: AskOptions): Promise<Answer>
  /** Entries of a query that the test added itself, in the order of the answer. */
  list(query: string, options?: AskOptions): Promise<ListedActivity[]>
}

/** The test's own entries: the gateway notes its own under other users. */
export const own = ({ json }: Answer): ListedActivity[] =>
  (json['data'] as ListedActivity[]).filter(
    ({ user, event_type }) => user.id >= 7 && event_type !== 'user_login',
  )

export async function startTestLog(): Promise<TestLog> {
  const admin = await startTestAdmin()
  const post = (body: unknown, { headers = {}, ...options }: AskOptions = {}) =>
    admin.ask('POST', path, {
      ...options,
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  return {
    ...admin,
    post,
    async add(...entries) {
      const { status, text, json } = await post(entries)
      if (status !== 202) throw new Error(`adding entries: ${status} ${text}`)
      return (json['data'] as { ids: number[] }).ids
    },
    async list(query, options) {
      const answer = await admin.ask('GET', `${path}?${query}`, options)
      if (answer.status !== 200) throw new Error(`${query}: ${answer.status} ${answer.text}`)
      return own(answer)
    },
  }
}
