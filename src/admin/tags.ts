/** Tags: listed, created, changed and deleted as the environment-management API prints them. */
import type { Static } from 'typebox'
import { Type } from '../contract/schema.ts'
import { type Tag, type TaggableType, taggableTypes, tagColors } from '../store/tags.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, Empty, type Resource } from './app.ts'
import { AdminError } from './errors.ts'
import { localTime } from '../contract/local-time.ts'
import type { TagBook } from './tag-book.ts'
import { matchingTags, sortTags, tagOrders, type TagFilter, type TagSort } from './tag-list.ts'

const group = ['tags']

const PAGE_SIZE_MAX = 100
const TITLE_CHARS_MAX = 30
const DESCRIPTION_CHARS_MAX = 150
/** A page beyond the last one is empty; a number beyond this is an error of whoever asks. */
const PAGE_MAX = 1_000_000

const includable = ['assignment_count', 'author'] as const

/** Names of the types elsewhere, where recipes are flows and connections are shared accounts. */
const typeNames: Readonly<Record<string, TaggableType>> = {
  ...Object.fromEntries(taggableTypes.map((type) => [type.replace('_', ''), type])),
  flow: 'recipe',
  sharedaccount: 'connection',
}

const Query = Type.Object(
  {
    page: Type.Optional(Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: 1 })),
    per_page: Type.Optional(Type.Integer({ minimum: 1, maximum: PAGE_SIZE_MAX, default: PAGE_SIZE_MAX })),
    'q[title_or_description_cont]': Type.Optional(
      Type.String({ description: 'Text that title or description hold, whatever its case.' }),
    ),
    'q[handle_in]': Type.Optional(Type.Array(Type.String(), { description: 'Handles.' })),
    'q[author_id_eq]': Type.Optional(Type.Integer({ description: 'Id of the client that created the tag.' })),
    'q[taggable_id_eq]': Type.Optional(
      Type.String({ description: 'Id, or name, of something that bears the tag.' }),
    ),
    'q[taggable_type_eq]': Type.Optional(
      Type.String({ description: `Type of something that bears the tag: ${taggableTypes.join(', ')}.` }),
    ),
    'q[only_assigned]': Type.Optional(Type.Boolean({ description: 'Only tags that something bears.' })),
    'sort_by[]': Type.Optional(Type.Array(Type.Enum([...tagOrders]), { maxItems: tagOrders.length })),
    'sort_direction[]': Type.Optional(
      Type.Array(Type.Enum(['asc', 'desc']), {
        maxItems: tagOrders.length,
        description: 'Of the orders in sort_by[], by position; asc by default.',
      }),
    ),
    'includes[]': Type.Optional(
      Type.Array(Type.Enum([...includable]), { description: 'Further fields of each tag.' }),
    ),
  },
  { additionalProperties: false },
)

const Title = Type.String({
  minLength: 1,
  maxLength: TITLE_CHARS_MAX,
  description: 'Unique, whatever its case.',
})
const Description = Type.String({ maxLength: DESCRIPTION_CHARS_MAX })
const Color = Type.Enum([...tagColors])

const TagBody = Type.Object(
  { title: Title, description: Type.Optional(Description), color: Type.Optional(Color) },
  { additionalProperties: false },
)

const HandleParams = Type.Object({ handle: Type.String() })

const shortFields = {
  handle: Type.String({ description: 'Opaque.' }),
  title: Title,
  description: Description,
  color: Color,
}
const ShortTag = Type.Object({ data: Type.Object(shortFields) })

const Author = Type.Object({ id: Type.Integer(), name: Type.String(), avatar_url: Type.String() })
const moment = (description: string) => Type.String({ format: 'date-time', description })
const ListedTag = Type.Object({
  ...shortFields,
  created_at: moment('With the offset of workspace.time_zone.'),
  updated_at: moment('With the offset of workspace.time_zone.'),
  author: Type.Optional(Author),
  assignment_count: Type.Optional(Type.Integer({ minimum: 0 })),
})
const TagList = Type.Object({ data: Type.Object({ tags: Type.Array(ListedTag) }) })

type TagQuery = Static<typeof Query>

function badQuery(parameter: string, sentence: string): AdminError {
  return new AdminError(400, 'the request is not valid', { errors: { [parameter]: [sentence] } })
}

function typesOf(name: string | undefined): readonly TaggableType[] {
  if (name === undefined) return taggableTypes
  // `Recipe`, `recipes`, `DataTable` and `data_table` mean what they seem to.
  const plain = name.toLowerCase().replaceAll(/[_ -]/g, '')
  const type = typeNames[plain] ?? typeNames[plain.replace(/s$/, '')]
  if (type !== undefined) return [type]
  const sentence = `must be one of ${taggableTypes.join(', ')}, got ${JSON.stringify(name.slice(0, 64))}`
  throw badQuery('q[taggable_type_eq]', sentence)
}

function filterOf(query: TagQuery): TagFilter {
  const { 'q[taggable_id_eq]': id, 'q[taggable_type_eq]': type } = query
  return {
    text: query['q[title_or_description_cont]'],
    handles: query['q[handle_in]'],
    author: query['q[author_id_eq]'],
    onlyAssigned: query['q[only_assigned]'] === true,
    taggable: id === undefined && type === undefined ? null : { types: typesOf(type), id },
  }
}

function sortsOf(query: TagQuery): TagSort[] {
  const orders = query['sort_by[]'] ?? ['title']
  const directions = query['sort_direction[]'] ?? []
  if (directions.length > orders.length) {
    const rule = `must have at most as many values as sort_by[], ${orders.length}`
    throw badQuery('sort_direction[]', `${rule}, got ${directions.length}`)
  }
  return orders.map((by, at) => ({ by, descending: directions[at] === 'desc' }))
}

function shortTag({ handle, title, description, color }: Tag): Static<typeof ShortTag> {
  return { data: { handle, title, description, color } }
}

/** In the printed order of its keys. */
function listedTag(tag: Tag, time: (at: number) => string, includes: ReadonlySet<string>) {
  const { handle, title, description, color, created_at, updated_at, author, assignment_count } = tag
  return {
    ...{ handle, title, description, color },
    created_at: time(created_at),
    updated_at: time(updated_at),
    ...(includes.has('author') ? { author: { id: author.id, name: author.name, avatar_url: '' } } : {}),
    ...(includes.has('assignment_count') ? { assignment_count } : {}),
  }
}

/** What the schema cannot say. */
function assertTexts({ title, description = '' }: Static<typeof TagBody>): void {
  const errors: Record<string, string[]> = {}
  if (title.trim() === '') errors.title = ['must not be blank']
  for (const [field, text] of Object.entries({ title, description })) {
    // Lines are fine in a description.
    const forbidden = field === 'title' ? /\p{Cc}/u : /[^\P{Cc}\n\r\t]/u
    if (forbidden.test(text) || !text.isWellFormed()) errors[field] = ['must not hold control characters']
  }
  if (Object.keys(errors).length > 0) throw new AdminError(400, 'the request is not valid', { errors })
}

export const tags: Resource = (app, { commands, store, tagBook }) => {
  app.get(
    '/api/tags',
    {
      config: { access: 'viewer' },
      schema: {
        tags: group,
        summary: 'Tags, by title unless asked otherwise',
        querystring: Query,
        response: { 200: answer(TagList, 'One page of them.') },
      },
    },
    ({ query }) => {
      const found = sortTags(matchingTags(store.tags, filterOf(query)), sortsOf(query))
      const { page: number = 1, per_page: size = PAGE_SIZE_MAX } = query
      const from = (number - 1) * size
      const time = localTime(commands.config().workspace.time_zone)
      const includes = new Set<string>(query['includes[]'])
      const page = found.slice(from, from + size).map((tag) => listedTag(tag, time, includes))
      return { data: { tags: page } }
    },
  )
  addChanges(app, tagBook)
}

function addChanges(app: AdminApp, book: TagBook): void {
  app.post(
    '/api/tags',
    {
      config: { access: 'admin' },
      schema: {
        tags: group,
        summary: 'Creates a tag; without a color it gets one at random',
        body: TagBody,
        response: { 200: answer(ShortTag, 'The tag.') },
      },
    },
    async (request) => {
      assertTexts(request.body)
      return shortTag(await book.create(request.body, actorOf(request)))
    },
  )
  app.put(
    '/api/tags/:handle',
    {
      config: { access: 'admin' },
      schema: {
        tags: group,
        summary: 'Changes a tag; what is left out stays',
        params: HandleParams,
        body: TagBody,
        response: { 200: answer(ShortTag, 'The tag.') },
      },
    },
    async (request) => {
      assertTexts(request.body)
      return shortTag(await book.update(request.params.handle, request.body, actorOf(request)))
    },
  )
  app.delete(
    '/api/tags/:handle',
    {
      config: { access: 'admin' },
      schema: {
        tags: group,
        summary: 'Deletes a tag with its assignments',
        params: HandleParams,
        response: { 200: answer(Empty, 'It is gone.') },
      },
    },
    async (request, reply) => {
      await book.delete(request.params.handle, actorOf(request))
      return reply.code(200).send(undefined)
    },
  )
}
