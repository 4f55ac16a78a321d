/**
 * A fake of CyberArk Conjur with its published HTTP API: sign-in with an API key, short-lived tokens and
 * variables.
 */
import { randomUUID } from 'node:crypto'
import { type Asked, type Reply, type Service, startService } from './service.ts'

export interface FakeConjur extends Service {
  readonly account: string
  readonly login: string
  readonly apiKey: string
  readonly variables: Map<string, string | Buffer>
  readonly denied: Set<string>
  /** Tokens that are valid, in base64, as `Authorization` carries them. */
  readonly tokens: Set<string>
}

export async function startConjur(): Promise<FakeConjur> {
  const service = await startService((asked) => answer(conjur, asked))
  const conjur: FakeConjur = Object.assign(service, {
    account: 'my org',
    login: 'host/data/gateway/prod',
    apiKey: `key-${randomUUID()}`,
    variables: new Map(),
    denied: new Set<string>(),
    tokens: new Set<string>(),
  })
  return conjur
}

function answer(conjur: FakeConjur, asked: Asked): Reply {
  // Encoded as one segment each: an identifier with slashes is not a path.
  const [, base, ...segments] = asked.url.pathname.split('/').map(decodeURIComponent)
  if (base !== 'api') return { status: 404 }
  const [service, account, third, fourth, ...rest] = segments
  if (account !== conjur.account || rest.length > 0) return { status: 404 }
  if (service === 'authn' && fourth === 'authenticate') return authenticate(conjur, asked, third)
  if (service !== 'secrets' || third !== 'variable' || asked.method !== 'GET') return { status: 404 }
  return variable(conjur, asked, fourth ?? '')
}

function authenticate(conjur: FakeConjur, { method, body }: Asked, login: string | undefined): Reply {
  if (method !== 'POST' || login !== conjur.login || body !== conjur.apiKey) return { status: 401 }
  const parts = { protected: randomUUID(), payload: randomUUID(), signature: randomUUID() }
  const token = Buffer.from(JSON.stringify(parts))
  conjur.tokens.add(token.toString('base64'))
  return { status: 200, body: token }
}

function variable(conjur: FakeConjur, { headers }: Asked, id: string): Reply {
  const [, token = ''] = /^Token token="([^"]+)"$/.exec(headers.authorization ?? '') ?? []
  if (!conjur.tokens.has(token)) return { status: 401 }
  if (conjur.denied.has(id)) return { status: 403 }
  const value = conjur.variables.get(id)
  if (value === undefined) {
    const message = `CONJ00076E Variable ${conjur.account}:variable:${id} is empty or not found.`
    return { status: 404, body: { error: { code: 'not_found', message } } }
  }
  return { status: 200, body: Buffer.from(value) }
}
