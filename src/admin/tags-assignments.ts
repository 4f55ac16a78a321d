/** Tags put on things and taken off them. */
import type { Static, TSchema } from 'typebox'
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import type { Taggable, TaggableType } from '../store/tags.ts'
import { actorOf } from './actor.ts'
import { answer, Empty, type Resource } from './app.ts'
import { AdminError, type FieldErrors } from './errors.ts'
import type { TagAssignment } from './tag-book.ts'

const HANDLE_CHARS_MAX = 64
/** As in the file. */
const NAME_CHARS_MAX = 64

function list<T extends TSchema>(items: T, description: string, maxItems: number) {
  return Type.Optional(Type.Array(items, { default: [], maxItems, description }))
}

const targets = limits.tag_changes_per_request_max
const handles = (description: string) =>
  list(Type.String({ minLength: 1, maxLength: HANDLE_CHARS_MAX }), description, limits.tags_per_list_max)
const ids = (description: string) =>
  list(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), description, targets)
const names = (description: string) =>
  list(
    Type.String({ minLength: 1, maxLength: NAME_CHARS_MAX, pattern: '^[A-Za-z0-9]' }),
    description,
    targets,
  )

const Body = Type.Object(
  {
    add_tags: handles('Handles of tags to put on.'),
    remove_tags: handles('Handles of tags to take off.'),
    recipe_ids: ids('Recipes.'),
    connection_ids: ids('Connections.'),
    page_ids: ids('Pages.'),
    data_table_ids: ids('Data tables.'),
    collections: names('Names of collections of this gateway.'),
    mirrors: names('Names of mirrors of this gateway.'),
    streams: names('Names of streams of this gateway.'),
  },
  { additionalProperties: false },
)

const targetFields = {
  recipe_ids: 'recipe',
  connection_ids: 'connection',
  page_ids: 'page',
  data_table_ids: 'data_table',
  collections: 'collection',
  mirrors: 'mirror',
  streams: 'stream',
} as const satisfies Partial<Record<keyof Static<typeof Body>, TaggableType>>

function targetsOf(body: Static<typeof Body>): Taggable[] {
  return Object.entries(targetFields).flatMap(([field, type]) => {
    const ids = body[field as keyof typeof targetFields] ?? []
    return [...new Set(ids.map(String))].map((id) => ({ type, id }))
  })
}

function assignmentOf(body: Static<typeof Body>): TagAssignment {
  const add = [...new Set(body.add_tags)]
  const remove = [...new Set(body.remove_tags)]
  const targets = targetsOf(body)
  const refuse = (errors: FieldErrors): AdminError =>
    new AdminError(400, 'the request is not valid', { errors })
  if (add.length + remove.length === 0)
    throw refuse({ add_tags: ['must hold a handle, or remove_tags must, got none'] })
  if (targets.length === 0)
    throw refuse({ body: [`must hold at least one of ${Object.keys(targetFields).join(', ')}, got none`] })
  const both = add.find((handle) => remove.includes(handle))
  if (both !== undefined)
    throw refuse({ remove_tags: [`must not hold what add_tags holds, got ${JSON.stringify(both)}`] })
  const changes = (add.length + remove.length) * targets.length
  if (changes > limits.tag_changes_per_request_max) {
    const rule = `tags times targets must be at most ${limits.tag_changes_per_request_max}`
    throw refuse({ body: [`${rule}, got ${changes}`] })
  }
  return { add, remove, targets }
}

export const tagsAssignments: Resource = (app, { tagBook }) => {
  app.post(
    '/api/tags_assignments',
    {
      config: { access: 'admin' },
      schema: {
        tags: ['tags'],
        summary: 'Puts tags on things and takes them off; all of it or nothing',
        body: Body,
        response: { 200: answer(Empty, 'Done; also where it was so already.') },
      },
    },
    async (request, reply) => {
      await tagBook.assign(assignmentOf(request.body), actorOf(request))
      return reply.code(200).send(undefined)
    },
  )
}
