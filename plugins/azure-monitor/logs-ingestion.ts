/** The Logs Ingestion API: rows for a stream of a data collection rule, by a token of Entra. */
import type { TokenCredential } from '@azure/identity'
import { OutcomeError, type SinkHttp } from 'mirrorgate/plugin'
import { credentialOf } from '../azure/entra.ts'
import { explained } from './errors.ts'
import type { Api, Options } from './sink.ts'

export function logsIngestion(own: Options, http: SinkHttp): Api {
  const { endpoint = '', rule_id = '', stream = '', audience } = own
  const base = endpoint.replace(/(?<!\/)\/+$/, '')
  const url = `${base}/dataCollectionRules/${rule_id}/streams/${stream}?api-version=2023-01-01`
  const meanings = {
    400: `the rule does not take it: check stream, which the rule must declare, and its columns`,
    401: 'the token was not accepted: check audience, tenant_id, and the clock of this machine',
    403:
      `give the application the role Monitoring Metrics Publisher on the rule ${rule_id} ` +
      '(a new role takes up to 30 minutes), and check that endpoint is that of the rule',
    404: `there is no rule ${rule_id} with the stream ${stream} at endpoint: check the three`,
    415: 'it takes JSON, compressed by gzip or not at all',
    429: 'the rule takes 2 GB and 12000 calls a minute: more rules take more',
  }
  let opening: Promise<TokenCredential> | null = null
  return {
    async post(body, batch, signal) {
      opening ??= credentialOf(own, http, 'an application (tenant_id, client_id, client_secret)')
      const token = await tokenOf(await opening, `${audience.replace(/(?<!\/)\/+$/, '')}/.default`, signal)
      const headers = { authorization: `Bearer ${token}` }
      const answer = await http.post(url, { body, headers, batch }, signal).catch((error: unknown) => {
        throw explained(error, { meanings, hidden: token, unknown: 'refused' })
      })
      // What stands in between and says 200 has stored nothing.
      if (answer.status !== 204)
        throw new OutcomeError('refused', `the endpoint answered ${answer.status}, which Azure does not`, {
          status: answer.status,
        })
    },
  }
}

/** Ends with the signal, whether or not the SDK passes it on. The SDK keeps tokens until they expire. */
async function tokenOf(credential: TokenCredential, scope: string, signal: AbortSignal): Promise<string> {
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = () => reject(new OutcomeError('retry', 'signing in to Azure: timed out'))
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const found = await Promise.race([credential.getToken(scope, { abortSignal: signal }), promise])
    if (found === null) throw new OutcomeError('unauthorized', 'signing in to Azure brought no token')
    return found.token
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
