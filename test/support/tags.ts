/** Calls about tags, as a client of the admin port makes them. */
import type { AdminClient } from '../../demo/admin-client.ts'

export interface ShortTag {
  readonly handle: string
  readonly title: string
  readonly description: string
  readonly color: string
}

export interface ListedTag extends ShortTag {
  readonly created_at: string
  readonly updated_at: string
  readonly author?: { readonly id: number; readonly name: string; readonly avatar_url: string }
  readonly assignment_count?: number
}

export async function createTag(admin: AdminClient, body: object): Promise<ShortTag> {
  return (await admin.json<{ data: ShortTag }>('POST', '/api/tags', body)).data
}

export async function listTags(admin: AdminClient, query = ''): Promise<ListedTag[]> {
  const answer = await admin.json<{ data: { tags: ListedTag[] } }>('GET', `/api/tags${query}`)
  return answer.data.tags
}

export async function titlesOf(admin: AdminClient, query: string): Promise<string[]> {
  return (await listTags(admin, query)).map(({ title }) => title)
}

/** Must be answered 200 without a body. */
export async function assignTags(admin: AdminClient, body: object): Promise<void> {
  const { status, text } = await admin.call('POST', '/api/tags_assignments', body)
  if (status !== 200 || text !== '') throw new Error(`POST /api/tags_assignments: got ${status}: ${text}`)
}
