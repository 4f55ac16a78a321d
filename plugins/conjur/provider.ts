/** Reads variables of CyberArk Conjur (Cloud, Enterprise and open source), signed in with an API key. */
import {
  answerFailure,
  createSecretsHttp,
  defineProvider,
  SecretError,
  secretText,
  secretValue,
  SignIn,
  Type,
} from 'mirrorgate/plugin'

const text = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description })

/** Conjur's tokens live 8 minutes; one that is used up to here still arrives in time. */
const tokenMs = 6 * 60_000

interface Token {
  /** As `Authorization` carries it. */
  readonly header: string
  readonly until: number
}

export default defineProvider({
  name: 'conjur',
  summary: 'Reads variables of CyberArk Conjur, signed in with the API key of a host or user.',
  options: Type.Object(
    {
      appliance_url: Type.String({
        pattern: '^https?://[^/?#]+[^?#]*$',
        rule: 'must be an absolute http or https URL',
        description: 'Address of Conjur, with /api for Conjur Cloud: https://conjur.example.com.',
      }),
      account: text('Account (organisation) of the variables; conjur for Conjur Cloud.'),
      login: text('Who signs in: host/data/gateway, or the name of a user.'),
      api_key: text('API key of the login.'),
      ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    },
    { additionalProperties: false },
  ),
  secretOptions: ['api_key'],
  pathOptions: ['ca_file'],
  workato(reference) {
    return /^[^:]+$/.test(reference) ? { path: reference, key: null } : { rule: 'must be VARIABLE_ID' }
  },
  create({ appliance_url, account, login, api_key, ca_file }) {
    const http = createSecretsHttp({ caFile: ca_file })
    const base = appliance_url.replace(/(?<!\/)\/+$/, '')
    const host = URL.canParse(base) ? new URL(base).host : base
    const [organisation, who] = [account, login].map(encodeURIComponent)

    const signIn = new SignIn(async (signal): Promise<Token> => {
      const url = `${base}/authn/${organisation}/${who}/authenticate`
      const answer = await http.fetch(url, { method: 'POST', body: api_key, signal })
      if (answer.status !== 200) {
        const failure = answerFailure(answer, host, 'check appliance_url, account, login and api_key')
        // A wrong account is not found: either way it is not the secret that is missing.
        throw failure.kind === 'not_found' ? new SecretError('denied', failure.message) : failure
      }
      const token = Buffer.from(await answer.arrayBuffer())
      if (!isToken(token)) throw new SecretError('unavailable', `${host} answered a sign-in without a token`)
      return { header: `Token token="${token.toString('base64')}"`, until: performance.now() + tokenMs }
    })

    async function signedIn(signal: AbortSignal): Promise<Token> {
      const token = await signIn.get(signal)
      if (performance.now() < token.until) return token
      signIn.forget(token)
      return signIn.get(signal)
    }

    return {
      async read(name, signal) {
        const url = `${base}/secrets/${organisation}/variable/${encodeURIComponent(name.path)}`
        const ask = ({ header }: Token) => http.fetch(url, { headers: { authorization: header }, signal })
        const token = await signedIn(signal)
        let answer = await ask(token)
        if (answer.status === 401) {
          signIn.forget(token)
          answer = await ask(await signedIn(signal))
        }
        const missing = `there is no variable ${name.path}, it has no value, or ${login} may not see it`
        if (answer.status !== 200)
          throw answerFailure(
            answer,
            host,
            answer.status === 404 ? missing : `${login} must be permitted to execute ${name.path}`,
          )
        return secretValue(secretText(new Uint8Array(await answer.arrayBuffer())), name)
      },
      close: http.close,
    }
  },
})

/** Conjur's own token: a JSON object with a signature. */
function isToken(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString())
    return typeof value === 'object' && value !== null && 'signature' in value
  } catch {
    return false
  }
}
