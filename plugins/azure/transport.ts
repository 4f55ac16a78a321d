/** The requests of Azure's SDKs over the host's client. */
import type { ClientSecretCredentialOptions } from '@azure/identity'
import { bytesOf, type OutcomeError, type SinkHttp, type SinkResponse } from 'mirrorgate/plugin'

export type HttpClient = NonNullable<ClientSecretCredentialOptions['httpClient']>
type Headers = Awaited<ReturnType<HttpClient['sendRequest']>>['headers']

const requestMsMax = 30_000

/**
 * `refusal` judges every answer. The client is one for both generations of SDKs: the elder one, which storage
 * still speaks, writes `toJson`.
 */
export function clientOver(
  http: SinkHttp,
  refusal: (answer: SinkResponse) => OutcomeError | null,
): HttpClient {
  return {
    async sendRequest(request) {
      const { url, method, body, headers: given, abortSignal } = request
      const headers = 'toJson' in given ? (given as Elder).toJson() : given.toJSON()
      // Answers are read as they come.
      for (const name of Object.keys(headers)) if (/^accept-encoding$/i.test(name)) delete headers[name]
      const bytes = body === undefined || body === null ? null : bytesOf(body as string | Uint8Array)
      const signal = (abortSignal as AbortSignal | undefined) ?? AbortSignal.timeout(requestMsMax)
      const answer = await http.send({ method, url, headers, body: bytes }, signal)
      const refused = refusal(answer)
      if (refused !== null) throw refused
      const { status } = answer
      return { request, status, headers: headersOf(answer), bodyAsText: answer.body.toString() }
    },
  }
}

interface Elder {
  toJson(): Record<string, string>
}

function headersOf(answer: SinkResponse): Headers & Elder {
  const held = Object.entries(answer.headers).map(([name, value]) => [name, String(value)] as const)
  const headers = new Map(held)
  return {
    get: (name) => headers.get(name.toLowerCase()),
    has: (name) => headers.has(name.toLowerCase()),
    set: (name, value) => void headers.set(name.toLowerCase(), String(value)),
    delete: (name) => void headers.delete(name.toLowerCase()),
    toJSON: () => Object.fromEntries(headers),
    toJson: () => Object.fromEntries(headers),
    [Symbol.iterator]: () => headers[Symbol.iterator](),
  }
}
