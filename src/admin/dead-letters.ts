/** The items that a destination refused one by one, paged. */
import { limits } from '../contract/limits.ts'
import { type DeliveryKind, deliveryKinds, resourceNouns } from '../contract/resources.ts'
import { Type } from '../contract/schema.ts'
import { answer, type AdminApp, NameParams, type Resource } from './app.ts'
import type { DeliveryCommands } from './delivery-commands.ts'
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
  for (const kind of deliveryKinds) addRoute(app, commands.deliveries[kind], kind)
}

function addRoute(app: AdminApp, commands: DeliveryCommands, kind: DeliveryKind): void {
  app.get(
    `/api/${kind}/:name/dead-letters`,
    {
      config: { access: 'viewer' },
      schema: {
        tags: [kind],
        summary: 'Items that the destination refused, with its answer',
        params: NameParams,
        querystring: Page,
        response: { 200: answer(list(DeadLetterAnswer), 'One page of them.') },
      },
    },
    async ({ params: { name }, query }) => {
      const page = await commands.deadLetters(name, {
        size: query['page[size]'] ?? limits.dead_letter_page_max,
        after: query['page[after]'] ?? null,
      })
      if (page === null) throw notFound(resourceNouns[kind], name)
      return page
    },
  )
}
