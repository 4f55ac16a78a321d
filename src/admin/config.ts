/** Reload and check of the configuration, with every problem and its position. */
import type { Problem } from '../config/problems.ts'
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, optional, type Resource } from './app.ts'
import { readText } from './bodies.ts'
import type { ReloadResult } from './commands.ts'
import { AdminError } from './errors.ts'
import { RejectedAnswer } from './views.ts'

const Applied = Type.Object({
  generation: Type.Integer(),
  hash: Type.String({ description: 'Of the effective configuration.' }),
  warnings: Type.Array(Type.String()),
})
const Text = Type.Object({ yaml: Type.String() }, { additionalProperties: false })
const yamlTypes = ['application/yaml', 'text/yaml', 'application/x-yaml', 'text/x-yaml']

export const config: Resource = (app, { commands }) => {
  const tags = ['configuration']
  const response = {
    200: answer(Applied, 'It is valid.'),
    400: answer(RejectedAnswer, 'Every problem of it.'),
  }
  app.post(
    '/api/config/reload',
    {
      config: { access: 'admin' },
      schema: { tags, summary: 'Applies the file on disk: whole, or not at all', response },
    },
    async (request) => settled(await commands.reload(actorOf(request))),
  )
  app.get(
    '/api/config/export',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'The whole effective configuration, as a file that loads again',
        response: {
          200: {
            description: 'YAML: references stay, other secrets became references to be set.',
            content: { 'application/yaml': { schema: Type.String() } },
          },
        },
      },
    },
    (_request, reply) => {
      reply.type('application/yaml; charset=utf-8')
      return commands.resources.exported()
    },
  )
  app.addContentTypeParser(yamlTypes, { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    readText(body),
  )
  app.post(
    '/api/config/check',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Checks a configuration without applying it; without a body, the file on disk',
        body: {
          content: {
            'application/json': { schema: optional(Text) },
            ...Object.fromEntries(yamlTypes.map((type) => [type, { schema: Type.String() }])),
          },
        },
        response,
      },
    },
    async ({ body }) => {
      const text = body as string | { yaml: string } | null | undefined
      return settled(await commands.checkConfig(typeof text === 'string' ? text : (text?.yaml ?? null)))
    },
  )
}

function settled(result: ReloadResult) {
  if (!result.ok) throw rejected(result.problems)
  const { generation, hash, warnings } = result
  return { generation, hash, warnings }
}

function rejected(all: readonly Problem[]): AdminError {
  const problems = all
    .slice(0, limits.config_problems_max)
    .map(({ file, line, column, path, message }) => ({ file, line, column, path, message }))
  const errors = new Map<string, string[]>()
  for (const { path, message } of problems) {
    const key = path === '' ? 'file' : path
    errors.set(key, [...(errors.get(key) ?? []), message])
  }
  const message = `the configuration has ${all.length} ${all.length === 1 ? 'problem' : 'problems'}`
  return new AdminError(400, message, { errors: Object.fromEntries(errors), detail: { problems } })
}
