/** Tokens of Google: by the key of a service account, or with what the machine has. */
import { readFile } from 'node:fs/promises'
import type { AuthClient } from 'google-auth-library'
import { OutcomeError, serviceRefusal, type SinkHttp, wrappedOutcome } from 'mirrorgate/plugin'

interface Options {
  readonly key_file?: string
  readonly service_account_key?: string
  readonly token_endpoint?: string
}

const tokenEndpoint = 'https://oauth2.googleapis.com/token'
const scopes = ['https://www.googleapis.com/auth/devstorage.read_write']

export class SignIn {
  readonly #own: Options
  readonly #http: SinkHttp
  #client: Promise<AuthClient> | null = null

  constructor(own: Options, http: SinkHttp) {
    this.#own = own
    this.#http = http
  }

  /** With a token that still lives; it is asked for anew a few minutes before its end. */
  async headers(signal: AbortSignal): Promise<Record<string, string>> {
    const headers = await this.#signedIn()
    // Who gave up has no use for the token; the next one has.
    signal.throwIfAborted()
    return Object.fromEntries(headers)
  }

  async #signedIn(): Promise<Headers> {
    try {
      const client = await (this.#client ??= this.#open())
      return await client.getRequestHeaders()
    } catch (error) {
      // What could not sign in is of no use any more: the next try begins anew.
      this.forget()
      throw (
        wrappedOutcome(error) ?? new OutcomeError('unauthorized', `signing in to Google: ${this.#check()}`)
      )
    }
  }

  forget(): void {
    this.#client = null
  }

  async #open(): Promise<AuthClient> {
    const { GoogleAuth, JWT } = await import('google-auth-library')
    const transporterOptions = { fetchImplementation: this.#fetch }
    const key = await this.#key()
    if (key === null) return new GoogleAuth({ scopes, clientOptions: { transporterOptions } }).getClient()
    const { client_email: email, private_key: pem, private_key_id: keyId } = key
    return new JWT({ email, key: pem, keyId, scopes, transporterOptions })
  }

  async #key(): Promise<Record<string, string> | null> {
    const { key_file: file, service_account_key: held } = this.#own
    if (file === undefined && held === undefined) return null
    const text =
      held ??
      (await readFile(file ?? '', 'utf8').catch(({ code }: NodeJS.ErrnoException) => {
        throw new OutcomeError('unauthorized', `reading key_file ${file}: ${code}`)
      }))
    try {
      const key = JSON.parse(text) as Record<string, string>
      if (key['type'] === 'service_account') return key
    } catch {
      // Said below; the message of the parser quotes the text.
    }
    const name = file === undefined ? 'service_account_key' : 'key_file'
    throw new OutcomeError('unauthorized', `${name} must be the key of a service account`)
  }

  #check(): string {
    const { key_file, service_account_key } = this.#own
    return key_file === undefined && service_account_key === undefined
      ? 'no credentials found, set key_file, or give this machine a service account'
      : 'the key is not accepted, check whether it is disabled or deleted, and the clock of this machine'
  }

  /** What the library asks for a token, over the host's client. */
  readonly #fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init)
    const body = Buffer.from(await request.arrayBuffer())
    const url = request.url === tokenEndpoint ? (this.#own.token_endpoint ?? tokenEndpoint) : request.url
    const headers = Object.fromEntries(request.headers)
    // Answers are read as they come.
    delete headers['accept-encoding']
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(30_000)])
    const answer = await this.#http.send({ method: request.method, url, headers, body }, signal)
    const { status } = answer
    // What is no answer to the question: the library would take it for one.
    if (status >= 500 || status === 429 || (status >= 300 && status < 400))
      throw serviceRefusal('signing in to Google: it', answer, null, {})
    const held = Object.entries(answer.headers).map(([name, value]): [string, string] => [
      name,
      String(value),
    ])
    return new Response(new Uint8Array(answer.body), { status, headers: held })
  }
}
