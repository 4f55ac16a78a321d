/** API collections and the health of their upstreams. */
import { answer, NameParams, type Resource } from './app.ts'
import { notFound } from './errors.ts'
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
      const data = commands.collections()
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
    ({ params: { name } }) => {
      const collection = commands.collections().find((one) => one.name === name)
      if (collection === undefined) throw notFound('collection', name)
      return collection
    },
  )
}
