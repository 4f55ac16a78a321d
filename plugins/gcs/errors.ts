/** What Google Cloud Storage says when it refuses, in words that a person can act on. */
import { type Meanings, OutcomeError, serviceRefusal, type SinkResponse } from 'mirrorgate/plugin'

function meanings(bucket: string): Meanings {
  const role = `storage.objects.create must be granted on ${bucket}: the role Storage Object Creator`
  return {
    authError: [
      'unauthorized',
      'the credentials are not accepted: check the key, whether it is disabled, and the clock',
    ],
    required: ['unauthorized', 'the request had no credentials'],
    forbidden: ['unauthorized', role],
    insufficientPermissions: ['unauthorized', `${role}; of a virtual machine also its access scopes`],
    accountDisabled: ['unauthorized', 'the account of the bucket is disabled'],
    billingDisabled: ['unauthorized', 'the project of the bucket has no billing account'],
    notFound: ['not_found', `there is no bucket ${bucket}: create it, or correct bucket`],
    kmsPermissionDenied: ['unauthorized', 'the service agent of the project may not use kms_key'],
    uploadTooLarge: ['too_large', 'the object is larger than the service takes'],
    rateLimitExceeded: ['retry', 'too many requests at a time: lower concurrency, or write files per_batch'],
    userRateLimitExceeded: [
      'retry',
      'too many requests at a time: lower concurrency, or write files per_batch',
    ],
    quotaExceeded: ['retry', 'a quota of the project is used up'],
    backendError: ['retry', 'the service has a problem of its own'],
    internalError: ['retry', 'the service has a problem of its own'],
  }
}

interface Said {
  readonly name?: unknown
  readonly error?: { readonly message?: unknown; readonly errors?: readonly { readonly reason?: unknown }[] }
}

/** Null when the object is stored. */
export function gcsRefusal(
  answer: SinkResponse,
  key: string,
  { bucket }: { readonly bucket: string },
): OutcomeError | null {
  const { status } = answer
  const said = objectOf(answer.body.toString())
  if (status >= 200 && status < 300) {
    if (said.name === key) return null
    const rule = `the endpoint answered ${status} without the name of the object: it is none of Google's`
    return new OutcomeError('refused', rule, { status })
  }
  const { message, errors } = said.error ?? {}
  const reason = errors?.[0]?.reason
  if (status === 403 && isThere(String(message), reason)) return null
  return serviceRefusal('Google', answer, typeof reason === 'string' ? reason : null, meanings(bucket))
}

/**
 * Only what exists must be deleted to be overwritten, or is held by a retention policy; only a repeat meets
 * its own name. So who may do nothing but create is enough for this sink.
 */
function isThere(message: string, reason: unknown): boolean {
  return (
    reason === 'retentionPolicyNotMet' ||
    (reason === 'forbidden' && message.includes('storage.objects.delete'))
  )
}

function objectOf(text: string): Said {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
