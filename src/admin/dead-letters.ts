/** The items that a destination refused one by one, paged. */
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import { answer, NameParams, type Resource } from './app.ts'
import { notFound } from './errors.ts'
import { DeadLetterAnswer, list } from './views.ts'

const Page = Type.Object(
  {
    'page[size]': Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.dead_letter_page_max,
        default: limits.dead_letter_page_max,
      }),
    ),
    'page[after]': Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: 'Id of the last one seen.' }),
    ),
  },
  { additionalProperties: false },
)

export const deadLetters: Resource = (app, { commands }) => {
  app.get(
    '/api/mirrors/:name/dead-letters',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['mirrors'],
        summary: 'Items that the destination refused, with its answer',
        params: NameParams,
        querystring: Page,
        response: { 200: answer(list(DeadLetterAnswer), 'One page of them.') },
      },
    },
    ({ params: { name }, query }) => {
      const page = commands.deadLetters(name, {
        size: query['page[size]'] ?? limits.dead_letter_page_max,
        after: query['page[after]'] ?? null,
      })
      if (page === null) throw notFound('mirror', name)
      return page
    },
  )
}
