/** The token that a vault provider reads with: signed in for when needed, renewed before its lease ends. */
import { answerFailure, answerObject, SecretError, SignIn } from 'mirrorgate/plugin'

/** One request to Vault, with its token and namespace; any answer is returned. */
export type Ask = (
  method: 'GET' | 'POST',
  path: string,
  about: { token?: string; body?: unknown; signal?: AbortSignal },
) => Promise<Response>

interface Credentials {
  readonly token?: string
  readonly role_id?: string
  readonly secret_id?: string
  readonly approle_path: string
}

/** A lease is renewed after this part of it, and after this part of the rest when that fails. */
const renewShare = 2 / 3
/** Shorter rests are not waited for: the token is as good as expired. */
const waitMsMin = 500
/** Longest wait of a timer: beyond 2^31 ms Node would fire at once, and a day is often enough. */
const waitMsMax = 86_400_000

/** A token and an AppRole exclude each other, and half an AppRole is none. */
export function credentialsRule({ token, role_id, secret_id }: Credentials): string | null {
  const role = role_id !== undefined && secret_id !== undefined
  const fits = token === undefined ? role : role_id === undefined && secret_id === undefined
  return fits ? null : 'must have either token, or role_id and secret_id'
}

export class VaultTokens {
  readonly #credentials: Credentials
  readonly #ask: Ask
  readonly #host: string
  readonly #signIn = new SignIn((signal) => this.#begin(signal))
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(credentials: Credentials, ask: Ask, host: string) {
    const rule = credentialsRule(credentials)
    if (rule !== null) throw new SecretError('denied', rule)
    this.#credentials = credentials
    this.#ask = ask
    this.#host = host
  }

  /** The token to use now. */
  get(signal: AbortSignal): Promise<string> {
    return this.#signIn.get(signal)
  }

  /** A token was refused. Whether `get` now gives another one. */
  drop(token: string): boolean {
    if (this.#credentials.token !== undefined) return false
    this.#signIn.forget(token)
    return true
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  async #begin(signal: AbortSignal): Promise<string> {
    const { token, role_id, secret_id, approle_path } = this.#credentials
    if (token !== undefined) {
      // Reads do not wait for it: a token without lookup-self works too, it is only not renewed.
      this.#lookUp(token).catch(() => undefined)
      return token
    }
    const path = `auth/${approle_path.split('/').map(encodeURIComponent).join('/')}/login`
    const answer = await this.#ask('POST', path, { body: { role_id, secret_id }, signal })
    const { status } = answer
    const check = 'check role_id, secret_id, its uses and approle_path'
    if ([400, 401, 403, 404].includes(status))
      throw new SecretError('denied', `${this.#host} refused to sign in (${status}): ${check}`)
    return this.#keep(answer)
  }

  /** Takes the token of an answer, and plans what happens before its lease ends. */
  async #keep(answer: Response): Promise<string> {
    if (answer.status !== 200) throw answerFailure(answer, this.#host, 'sign-in failed')
    const { auth } = await answerObject(answer, this.#host)
    const { client_token, lease_duration, renewable } = (auth ?? {}) as Record<string, unknown>
    if (typeof client_token !== 'string')
      throw new SecretError('unavailable', `${this.#host} answered a sign-in without a token`)
    this.#plan(client_token, Number(lease_duration) * 1000, renewable === true)
    return client_token
  }

  async #lookUp(token: string): Promise<void> {
    const answer = await this.#ask('GET', 'auth/token/lookup-self', { token })
    if (answer.status !== 200) return
    const { data } = await answerObject(answer, this.#host)
    const { ttl, renewable } = (data ?? {}) as Record<string, unknown>
    this.#plan(token, Number(ttl) * 1000, renewable === true)
  }

  /** A lease of 0 never ends. One that cannot be renewed is given up in time, where one can sign in again. */
  #plan(token: string, leaseMs: number, renewable: boolean): void {
    const wait = leaseMs * renewShare
    if (this.#closed || !(leaseMs > 0)) return
    clearTimeout(this.#timer)
    const next =
      renewable && wait >= waitMsMin ? () => this.#renew(token, leaseMs - wait) : () => this.drop(token)
    this.#timer = setTimeout(next, Math.min(wait, waitMsMax)).unref()
  }

  async #renew(token: string, restMs: number): Promise<void> {
    try {
      await this.#keep(await this.#ask('POST', 'auth/token/renew-self', { token, body: {} }))
    } catch {
      this.#plan(token, restMs, true)
    }
  }
}
