/** API collections and the health of their upstreams. */
import { answer, NameParams, type Resource } from './app.ts'
import { notFound } from './errors.ts'
import { tagged, withFacts } from './facts.ts'
import { CollectionAnswer, list } from './views.ts'

export const collections: Resource = (app, { commands }) => {
  const tags = ['collections']
  app.get(
    '/api/collections',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'All collections',
        response: { 200: answer(list(CollectionAnswer), 'They.') },
      },
    },
    () => {
      const data = commands.collections().map((one) => withFacts(commands, 'collections', one))
      return { data, total: data.length }
    },
  )
  app.get(
    '/api/collections/:name',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'One collection',
        params: NameParams,
        response: { 200: answer(CollectionAnswer, 'The collection.') },
      },
    },
    ({ params: { name } }, reply) => {
      const collection = commands.collections().find((one) => one.name === name)
      if (collection === undefined) throw notFound('collection', name)
      tagged(reply, commands, 'collections', name)
      return withFacts(commands, 'collections', collection)
    },
  )
}
