/**
 * When secrets change: what waits for them is tried, and the activity log is told; failed reads are
 * incidents.
 */
import { theGateway } from '../contract/audit-trail.ts'
import { referenceText, type SecretReference } from '../contract/secret-reference.ts'
import type { RunningGateway } from '../gateway.ts'
import type { SecretsHost } from '../secrets/secrets.ts'
import type { CredentialsHost } from '../shipper/credentials.ts'

/** Called long after the gateway was made, so its parts are asked for only then. */
export function secretNews(gateway: RunningGateway): SecretsHost & Pick<CredentialsHost, 'refused'> {
  const tell = (references: readonly SecretReference[], details: Record<string, string | boolean>) => {
    const named = references.map(referenceText)
    gateway.log.info({ references: named, ...details }, 'secret read again')
    const actor = theGateway
    void gateway.trail.record(
      ...named.map((name) => ({ event: 'secret_refreshed' as const, actor, resource: { name }, details })),
    )
  }
  return {
    changed: (reference) => tell([reference], { changed: true }),
    refused: (mirror, references) => tell(references, { changed: false, refused_for: mirror }),
    mayHaveChanged: () => {
      gateway.deliveries.retryWithSecrets()
      gateway.incidents.notifier.reconfigured()
    },
    succeeded: (reference) => gateway.incidents.secretRead(reference),
    failed: (reference, error, usable) => gateway.incidents.secretFailed(reference, error, usable),
  }
}
