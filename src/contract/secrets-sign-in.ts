/** A sign-in to a secrets manager that many reads share: made once, kept until it is refused or given up. */
import { untilAborted } from './secrets-http.ts'

interface Attempt<Token> {
  readonly work: Promise<Token>
  readonly giveUp: AbortController
  waiting: number
  /** What `work` resolved with. */
  token: Token | null
}

export class SignIn<Token> {
  readonly #make: (signal: AbortSignal) => Promise<Token>
  #attempt: Attempt<Token> | null = null

  /** `make` signs in; its signal aborts when nobody waits for the token any more. */
  constructor(make: (signal: AbortSignal) => Promise<Token>) {
    this.#make = make
  }

  /** The token, of a sign-in that went before or is on its way; its failure is everyone's who waits. */
  async get(signal: AbortSignal): Promise<Token> {
    const attempt = (this.#attempt ??= this.#begin())
    attempt.waiting += 1
    try {
      return await untilAborted(attempt.work, signal)
    } finally {
      attempt.waiting -= 1
      // Or a sign-in that hangs would hold up the reads to come as well.
      if (attempt.waiting === 0 && attempt.token === null) this.#end(attempt)
    }
  }

  /** A token is of no use any more: unless another one is there already, the next read signs in anew. */
  forget(token: Token): void {
    if (this.#attempt?.token === token) this.#end(this.#attempt)
  }

  #begin(): Attempt<Token> {
    const giveUp = new AbortController()
    const work = this.#make(giveUp.signal)
    const attempt: Attempt<Token> = { work, giveUp, waiting: 0, token: null }
    work.then(
      (token) => {
        attempt.token = token
      },
      () => this.#end(attempt),
    )
    return attempt
  }

  #end(attempt: Attempt<Token>): void {
    attempt.giveUp.abort()
    if (this.#attempt === attempt) this.#attempt = null
  }
}
