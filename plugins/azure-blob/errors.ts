/** What Azure says when it refuses, in words that a person can act on. */
import { type Meanings, OutcomeError, serviceRefusal, type SinkResponse } from 'mirrorgate/plugin'

interface About {
  readonly account: string
  readonly container: string
}

function meanings({ account, container }: About): Meanings {
  return {
    AuthenticationFailed: [
      'unauthorized',
      'check account_key or sas_token, their expiry, and the clock of this machine',
    ],
    AuthorizationFailure: [
      'unauthorized',
      'the key or signature does not allow to write, or the firewall of the account keeps this address out',
    ],
    AuthorizationPermissionMismatch: [
      'unauthorized',
      `give the role Storage Blob Data Contributor on ${container}, or a sas_token with the permissions cw`,
    ],
    AuthorizationSourceIPMismatch: [
      'unauthorized',
      'sas_token is for another address than that of this machine',
    ],
    AuthorizationProtocolMismatch: ['unauthorized', 'sas_token is for https only'],
    AuthorizationServiceMismatch: ['unauthorized', 'sas_token is not for blobs: ss or sr must say so'],
    AuthorizationResourceTypeMismatch: ['unauthorized', 'sas_token is not for objects: srt must hold o'],
    KeyBasedAuthenticationNotPermitted: ['unauthorized', 'the account takes no keys: sign in with Entra'],
    InsufficientAccountPermissions: ['unauthorized', 'the account may not do this'],
    InvalidAuthenticationInfo: ['unauthorized', 'the credentials are not in the form that the account takes'],
    NoAuthenticationInformation: ['unauthorized', 'set account_key, sas_token, or an application of Entra'],
    AccountIsDisabled: ['unauthorized', `the account ${account} is disabled`],
    ContainerNotFound: [
      'not_found',
      `there is no container ${container} in ${account}: create it, or correct container`,
    ],
    ContainerDisabled: ['not_found', `the container ${container} is disabled`],
    ContainerBeingDeleted: ['not_found', `the container ${container} is being deleted`],
    ResourceNotFound: ['not_found', `there is no container ${container} in ${account}`],
    RequestBodyTooLarge: ['too_large', 'the blob is larger than the account takes'],
    InvalidBlobTier: ['refused', 'access_tier is not known to this kind of account'],
    AccessTierNotSupportedForBlobType: ['refused', 'access_tier is not known to this kind of account'],
    LeaseIdMissing: ['refused', 'somebody holds a lease on the blob'],
    ServerBusy: ['retry', 'too many requests at a time: lower concurrency, or write files per_batch'],
    OperationTimedOut: ['retry', 'the account did not manage it in time'],
    InternalError: ['retry', 'the account has a problem of its own'],
    AccountBeingCreated: ['retry', `the account ${account} is not ready yet`],
  }
}

/** Null when the blob is stored. */
export function blobRefusal(answer: SinkResponse, about: About): OutcomeError | null {
  const { status, headers } = answer
  if (status === 201 && headers['etag'] !== undefined) return null
  const written =
    headers['x-ms-error-code'] ?? /<Code>([\w.]{1,64})<\/Code>/.exec(answer.body.toString())?.[1]
  const [code = null] = [written].flat()
  if (code === 'BlobImmutableDueToPolicy') return storedBefore
  if (status < 300)
    return new OutcomeError('refused', `the endpoint answered ${status}, which Azure does not`, { status })
  return serviceRefusal('Azure', answer, code, meanings(about))
}

/**
 * A container that lets nothing be overwritten holds the blob of an earlier try: only a repeat meets its own
 * name. Thrown like a refusal, since the SDK would make an error of its own of it.
 */
export const storedBefore = new OutcomeError('rejected', 'the blob is there already', { status: 409 })
