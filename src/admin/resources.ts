/** Definitions by API: collections, connections and mirrors, created, replaced, patched and deleted alike. */
import type { FastifyReply, FastifySchema, RouteOptions } from 'fastify'
import type { Problem } from '../config/problems.ts'
import type { Json } from '../contract/activity.ts'
import { limits } from '../contract/limits.ts'
import { apiPlace, type ResourceKind, resourceKinds, resourceNouns } from '../contract/resources.ts'
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, NameParams, type Resource } from './app.ts'
import { acceptAsJson } from './bodies.ts'
import { AdminError, notFound } from './errors.ts'
import type { ResourceCommands, ResourceOutcome, ResourceRequest } from './resource-commands.ts'
import { RejectedAnswer, ResourceChangeAnswer } from './views.ts'

/** Longer ones are no names: the validator says so, no other sentence repeats them. */
const NAME_CHARS_MAX = 64
/** RFC 7396 §3. */
const mergePatchType = 'application/merge-patch+json'

const Query = Type.Object(
  {
    dry_run: Type.Optional(
      Type.Boolean({ description: 'Validates and answers what would be; changes nothing.' }),
    ),
  },
  { additionalProperties: false },
)
const Headers = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'An ETag that must still be in force, or 412; without it, any is.' }),
  ),
})

type Act = ResourceRequest['act']
type Body = ResourceRequest['body']

interface Verb {
  readonly act: Act
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly summary: string
}

const verbs: readonly Verb[] = [
  { act: 'create', method: 'POST', summary: 'Creates one' },
  { act: 'replace', method: 'PUT', summary: 'Replaces the whole definition' },
  { act: 'merge', method: 'PATCH', summary: 'Changes parts of the definition (JSON Merge Patch)' },
  { act: 'delete', method: 'DELETE', summary: 'Deletes it' },
]

export const resources: Resource = (app, { commands }) => {
  acceptAsJson(app, mergePatchType)
  for (const kind of resourceKinds) {
    for (const verb of verbs) addRoute(app, commands.resources, kind, verb)
  }
}

function addRoute(app: AdminApp, commands: ResourceCommands, kind: ResourceKind, verb: Verb): void {
  const { act, method, summary } = verb
  const noun = resourceNouns[kind]
  const done = answer(ResourceChangeAnswer, `The ${noun}, as it is now, was, or would be.`)
  const refused = answer(RejectedAnswer, 'Every problem that it has, or makes elsewhere.')
  // Made when the document is asked for: it is large, and bodies are judged by the validator of the file.
  const documented = ({ schema, url }: { schema: FastifySchema; url: string }) => ({
    schema: { ...schema, body: { ...commands.schema(kind, act), type: 'object' } },
    url,
  })
  app.route({
    method,
    url: act === 'create' ? `/api/${kind}` : `/api/${kind}/:name`,
    config: { access: 'admin', ...(act === 'delete' ? {} : { swaggerTransform: documented }) },
    schema: {
      tags: [kind],
      summary: `${summary}: a ${noun} that the API defines, beside the file`,
      querystring: Query,
      ...(act === 'create' ? {} : { params: NameParams, headers: Headers }),
      ...(act === 'delete' ? {} : { body: { type: 'object' } }),
      ...(act === 'merge' ? { consumes: ['application/json', mergePatchType] } : {}),
      response: { 200: done, ...(act === 'create' ? { 201: done } : {}), 400: refused },
    },
    handler: async (request, reply) => {
      const { dry_run: dryRun = false } = request.query as { dry_run?: boolean }
      const given = (act === 'delete' ? {} : request.body) as Body
      const name = act === 'create' ? given['name'] : (request.params as { name: string }).name
      const outcome = await commands.change(
        {
          ...{ kind, act, dryRun, body: bounded(given) },
          name: typeof name === 'string' && name.length <= NAME_CHARS_MAX ? name : '',
          ifMatch: tagsOf(act === 'create' ? undefined : request.headers['if-match']),
        },
        actorOf(request),
      )
      return settled(outcome, reply, kind, act, String(name))
    },
  } satisfies RouteOptions as RouteOptions)
}

/** RFC 9110 §13.1.1: `*`, or entity tags; null when there is no such field. */
function tagsOf(field: string | undefined): string[] | null {
  if (field === undefined) return null
  const tags = field.match(/\*|(?:W\/)?"[^"]*"/g)
  if (tags !== null) return tags
  const sentence = 'must be * or entity tags in quotes'
  throw new AdminError(400, 'the request is not valid', { errors: { 'if-match': [sentence] } })
}

/** As deep as a file may be, and small: what follows goes down into it, and judges each value. */
function bounded(body: Body): Body {
  let level: Json[] = [body]
  let values = 0
  for (let depth = 0; level.length > 0; depth++) {
    values += level.length
    if (depth > limits.config_depth_max || values > limits.api_definition_values_max) {
      const { config_depth_max: most, api_definition_values_max: many } = limits
      throw new AdminError(400, `the body must hold at most ${many} values, at most ${most} levels deep`)
    }
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []))
  }
  return body
}

function settled(outcome: ResourceOutcome, reply: FastifyReply, kind: ResourceKind, act: Act, name: string) {
  if (outcome.result === 'unknown') throw notFound(resourceNouns[kind], name)
  if (outcome.result === 'stale') {
    const sentence = `the ${resourceNouns[kind]} must be of the version in If-Match: read it again`
    throw new AdminError(412, sentence)
  }
  if (outcome.result === 'invalid') throw invalid(outcome.problems, kind, name)
  const { view, etag } = outcome
  if (etag !== null) reply.header('etag', `"${etag}"`)
  if (act === 'create' && !view.dry_run)
    reply.code(201).header('location', `/api/${kind}/${encodeURIComponent(name)}`)
  return view
}

/** Every problem by its path in the resource; those that it makes elsewhere by their place there. */
function invalid(all: readonly Problem[], kind: ResourceKind, name: string): AdminError {
  const problems = all.slice(0, limits.config_problems_max)
  const own = apiPlace({ kind, name })
  const errors = new Map<string, string[]>()
  for (const { file, line, path, message } of problems) {
    const elsewhere = file.startsWith('api:') ? `${file} ${path}` : `${file}:${line} ${path}`
    const key = file !== own ? elsewhere : path === '' ? resourceNouns[kind] : path
    errors.set(key, [...(errors.get(key) ?? []), message])
  }
  const count = `${all.length} ${all.length === 1 ? 'problem' : 'problems'}`
  return new AdminError(400, `the ${resourceNouns[kind]} has ${count}`, {
    errors: Object.fromEntries(errors),
    detail: {
      problems: problems.map(({ file, line, column, path, message }) => ({
        file,
        line,
        column,
        path,
        message,
      })),
    },
  })
}
