/** Signing in to the console with a token, and out again; who is signed in. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { environments } from '../contract/environments.ts'
import { roles } from '../contract/roles.ts'
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, type AdminContext, Empty, type Resource } from './app.ts'
import { assertSameOrigin, sessionCookie } from './auth.ts'
import type { Client } from './client-registry.ts'
import { ConflictError } from './commands.ts'
import type { Session } from './session-table.ts'

const tags = ['session']

const TOKEN_CHARS_MAX = 4096

const SignInBody = Type.Object(
  { token: Type.String({ minLength: 1, maxLength: TOKEN_CHARS_MAX, description: 'Of a client.' }) },
  { additionalProperties: false },
)

const nullableText = (description: string, extra: object = {}) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], description, ...extra })
const moment = (description: string) => nullableText(description, { format: 'date-time' })
const SessionAnswer = Type.Object({
  client: Type.Object({
    id: Type.Integer(),
    name: Type.String(),
    role: Type.Enum([...roles]),
    environment: Type.Enum([...environments]),
  }),
  csrf_token: nullableText('For x-csrf-token of every change; null when a bearer token was sent.'),
  ends_at: moment('When the session ends whatever happens.'),
  idle_ends_at: moment('When it ends unless it is used.'),
})

export const session: Resource = (app, context) => {
  addSignIn(app, context)
  app.get(
    '/api/session',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'Who is signed in, by cookie or by token',
        response: { 200: answer(SessionAnswer, 'The client, and the session if there is one.') },
      },
    },
    ({ signedIn, session: open }) => {
      if (signedIn === null) throw new Error('a route for clients was reached without one')
      return shown(signedIn, open)
    },
  )
  addSignOut(app, context)
}

function addSignIn(app: AdminApp, { signIn, sessions, trail }: AdminContext): void {
  app.post(
    '/api/session',
    {
      config: { access: 'open' },
      schema: {
        tags,
        summary: 'Signs in with a token and gets a cookie for it',
        description: 'Open: the token is in the body. Failed tries are counted like all others.',
        body: SignInBody,
        response: { 201: answer(SessionAnswer, 'The session; its cookie is in set-cookie.') },
      },
    },
    async (request, reply) => {
      assertSameOrigin(request, 'if given')
      const found = signIn.holder(request.body.token, request, 'session_login')
      const before = request.cookies[sessionCookie]
      if (before !== undefined) sessions.close(before)
      const { id, session: opened } = sessions.open(found)
      request.signedIn = found.client
      setCookie(request, reply, id)
      await trail.record({
        event: 'user_login',
        actor: { ...actorOf(request), activity: 'session_login' },
      })
      return reply.code(201).send(shown(found.client, opened))
    },
  )
}

function addSignOut(app: AdminApp, { sessions, trail }: AdminContext): void {
  app.delete(
    '/api/session',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'Signs out: ends the session of the cookie',
        response: { 204: answer(Empty, 'It is over.') },
      },
    },
    async (request, reply) => {
      const id = request.cookies[sessionCookie]
      if (request.session === null || id === undefined)
        throw new ConflictError('this request has no session: it signed in with a bearer token')
      sessions.close(id)
      reply.clearCookie(sessionCookie, cookieOptions(request))
      await trail.record({ event: 'user_logout', actor: actorOf(request) })
      return reply.code(204).send()
    },
  )
}

/** RFC 6265 §4.1.2; SameSite as the browsers have it. Ends with the browser, or earlier with the session. */
function cookieOptions({ protocol }: FastifyRequest) {
  return { httpOnly: true, sameSite: 'strict', secure: protocol === 'https', path: '/' } as const
}

function setCookie(request: FastifyRequest, reply: FastifyReply, id: string): void {
  reply.setCookie(sessionCookie, id, cookieOptions(request))
}

function shown(
  { id, name, role, environment }: Pick<Client, 'id' | 'name' | 'role' | 'environment'>,
  open: Session | null,
): Static<typeof SessionAnswer> {
  const printed = (at: number | undefined): string | null =>
    at === undefined ? null : new Date(at).toISOString()
  return {
    client: { id, name, role, environment },
    csrf_token: open?.csrf ?? null,
    ends_at: printed(open?.ends_at),
    idle_ends_at: printed(open?.idle_ends_at),
  }
}
