/** Every error answer of the admin port: one shape, one place, no stack and no secret of the request. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import {
  EntryTooLargeError,
  IdempotencyError,
  SearchBusyError,
  SearchTooLongError,
  BusyError,
  StorageFullError,
} from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import type { Logger } from '../telemetry/log.ts'
import { ConflictError } from './commands.ts'
import { problemOf, problemType, speaksProblems } from './konnect/problems.ts'

export type FieldErrors = Readonly<Record<string, readonly string[]>>

/** An answer other than 2xx, with its sentence. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly status: number
  readonly errors: FieldErrors
  readonly headers: Readonly<Record<string, string>>
  /** Further fields of the answer. */
  readonly detail: Readonly<Record<string, unknown>>

  constructor(
    status: number,
    message: string,
    more: {
      errors?: FieldErrors
      headers?: Readonly<Record<string, string>>
      detail?: Readonly<Record<string, unknown>>
    } = {},
  ) {
    super(message)
    this.status = status
    this.errors = more.errors ?? {}
    this.headers = more.headers ?? {}
    this.detail = more.detail ?? {}
  }
}

/** 404 for a thing that a path names. */
export function notFound(kind: string, name: string): AdminError {
  return new AdminError(404, `no ${kind} has this name, got ${JSON.stringify(name)}`)
}

/** Sentences for what the server refuses before a route sees it; its own messages quote the request. */
const sentences: Readonly<Record<number, string>> = {
  400: 'the request is not valid',
  404: 'there is no such resource',
  408: 'the request took too long to arrive',
  413: `the body must be at most ${limits.admin_body_bytes} bytes`,
  415: 'the content type must be one that this route takes',
  431: 'the request head must be at most 16384 bytes',
}

const causes: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'the body must be valid JSON without prototype keys',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'the body must be as long as its content-length',
  FST_ERR_BAD_URL: 'the path must be a valid URL path',
}

/** What the server itself refused, as one of our answers; null for a bug. */
function fromServer(error: FastifyError): AdminError | null {
  // A name longer than any that can exist: the path leads nowhere.
  const status = error.code === 'FST_ERR_MAX_PARAM_LENGTH' ? 404 : (error.statusCode ?? 500)
  const sentence = causes[error.code] ?? sentences[status]
  return sentence === undefined ? null : new AdminError(status, sentence)
}

function toAdminError(error: FastifyError): AdminError | null {
  if (error instanceof AdminError) return error
  if (error instanceof ConflictError) return new AdminError(409, error.message)
  return fromStorage(error) ?? fromServer(error)
}

/** What the store refuses, with its own sentence. */
function fromStorage(error: Error): AdminError | null {
  if (error instanceof StorageFullError) return new AdminError(507, error.message)
  if (error instanceof IdempotencyError) return new AdminError(409, error.message)
  if (error instanceof SearchTooLongError) return new AdminError(422, error.message)
  if (error instanceof SearchBusyError)
    return new AdminError(429, error.message, { headers: { 'retry-after': '5' } })
  if (error instanceof EntryTooLargeError) return new AdminError(413, error.message)
  if (error instanceof BusyError)
    return new AdminError(503, error.message, { headers: { 'retry-after': '1' } })
  return null
}

/** Answers any error; what is not expected is logged whole and answered without detail. */
export function answerError(log: Logger) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    const known = toAdminError(error)
    if (known === null) log.error({ err: error, route: request.routeOptions.url }, 'admin request failed')
    const { status, message, errors, headers, detail } =
      known ?? new AdminError(500, 'internal error, see the log')
    reply.code(status).headers(headers)
    if (speaksProblems(request.url)) reply.type(problemType).send(problemOf(status, message, errors))
    else reply.type('application/json; charset=utf-8').send({ message, errors, ...detail })
  }
}

/** RFC 9110 §10.1.1: an expectation that nobody can meet; the server's own answer has no body. */
export function answerExpectation(_request: IncomingMessage, response: ServerResponse): void {
  const body = JSON.stringify({ message: 'the expectation must be 100-continue', errors: {} })
  response.writeHead(417, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  })
  response.end(body)
}

/** Answers what is no HTTP request at all, or too slow or too large to become one. */
export function answerClientError(error: ConnectionError, socket: Socket): void {
  // Node keeps the response in progress here; a second head inside its body would be read as data.
  const { _httpMessage: response } = socket as Socket & { _httpMessage?: ServerResponse | null }
  if (!socket.writable || response?.headersSent === true) {
    socket.destroy()
    return
  }
  const byCode: Readonly<Record<string, number>> = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_HEADER_OVERFLOW: 431 }
  const status = byCode[error.code] ?? 400
  const reason = { 400: 'Bad Request', 408: 'Request Timeout', 431: 'Request Header Fields Too Large' }[
    status
  ]
  const body = JSON.stringify({ message: sentences[status], errors: {} })
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/json; charset=utf-8\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
