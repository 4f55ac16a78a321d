/** Writes events as objects to Google Cloud Storage. */
import { createHash } from 'node:crypto'
import {
  defineSink,
  type ObjectFile,
  objectKeyRule,
  objectLimits,
  objectOptions,
  publicUrl,
  type Static,
  Type,
  uploadObjects,
} from 'mirrorgate/plugin'
import { gcsRefusal } from './errors.ts'
import { SignIn } from './sign-in.ts'

const text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 2048, description }))
const address = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: '^https?://[^?#@]+$',
      rule: 'must be an http or https URL without user, query and fragment',
      description,
    }),
  )

const options = Type.Object(
  {
    bucket: Type.String({
      pattern: '^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$',
      rule: 'must be the name of a bucket: lower-case letters, digits, dots, dashes and underscores',
      description: 'The bucket; it must exist.',
    }),
    key_file: text(
      'Key file of a service account, absolute or relative to the working directory; if absent, ' +
        'service_account_key, or the credentials of the machine.',
    ),
    service_account_key: Type.Optional(
      Type.String({ minLength: 1, secret: true, description: 'What such a file holds, from a secret.' }),
    ),
    endpoint: address('Another address of the service; if absent, https://storage.googleapis.com.'),
    token_endpoint: address(
      'Another address of who gives tokens; if absent, https://oauth2.googleapis.com/token.',
    ),
    storage_class: Type.Optional(
      Type.Enum(['STANDARD', 'NEARLINE', 'COLDLINE', 'ARCHIVE'], {
        description: 'Storage class of the objects; if absent, what the bucket says.',
      }),
    ),
    kms_key: Type.Optional(
      Type.String({
        pattern: '^projects/[^/?#]+/locations/[^/?#]+/keyRings/[^/?#]+/cryptoKeys/[^/?#]+$',
        rule: 'must be projects/…/locations/…/keyRings/…/cryptoKeys/…',
        description: 'Key that encrypts the objects; if absent, what the bucket says.',
      }),
    ),
    ...objectOptions,
  },
  { additionalProperties: false },
)

type Options = Static<typeof options>

export default defineSink({
  name: 'gcs',
  summary: 'Writes a JSON file per event, or an NDJSON file per batch, to a bucket of Google Cloud Storage.',
  options,
  formats: ['exchange'],
  urls: [],
  limits: objectLimits,
  signsIn: true,
  rule(own) {
    if (own.key_file !== undefined && own.service_account_key !== undefined)
      return { key: 'key_file', rule: 'must not stand beside service_account_key, choose one of the two' }
    return objectKeyRule(own)
  },
  legs: ({ endpoint, bucket }) => [
    { name: 'objects', half: 'exchange', url: publicUrl(`${baseOf(endpoint)}/${bucket}`) },
  ],
  create(context) {
    const { options: own, http } = context
    const signIn = new SignIn(own, http)
    // Not by the storage client of Google: it cannot be told to use the host's connections, follows
    // redirects, and has no way to end an upload early.
    const put = async (file: ObjectFile, signal: AbortSignal) => {
      const headers = await signIn.headers(signal)
      const { url, body, type } = uploadOf(file, own)
      const request = { method: 'POST', url, headers: { ...headers, 'content-type': type }, body }
      const answer = await http.send(request, signal)
      const refused = gcsRefusal(answer, file.key, own)
      if (refused === null) return
      // A token may be taken back before its time.
      if (refused.status === 401) signIn.forget()
      throw refused
    }
    return { write: (batch, signal) => uploadObjects(batch, context, signal, put), close() {} }
  },
})

function baseOf(endpoint: string | undefined): string {
  return (endpoint ?? 'https://storage.googleapis.com').replace(/(?<!\/)\/+$/, '')
}

/** One request with its metadata (RFC 2387): Google compares the digest before it stores anything. */
function uploadOf(
  { key, body, contentType }: ObjectFile,
  own: Options,
): { url: string; body: Buffer; type: string } {
  const digest = createHash('md5').update(body).digest()
  const { storage_class: storageClass, kms_key: kmsKeyName } = own
  const about = {
    name: key,
    contentType,
    md5Hash: digest.toString('base64'),
    ...(storageClass && { storageClass }),
  }
  const boundary = `mirrorgate-${digest.toString('hex')}`
  const head = [
    `--${boundary}\r\ncontent-type: application/json; charset=utf-8\r\n\r\n${JSON.stringify(about)}\r\n`,
    `--${boundary}\r\ncontent-type: ${contentType}\r\n\r\n`,
  ].join('')
  const query = new URLSearchParams({ uploadType: 'multipart', ...(kmsKeyName && { kmsKeyName }) })
  return {
    url: `${baseOf(own.endpoint)}/upload/storage/v1/b/${encodeURIComponent(own.bucket)}/o?${query}`,
    body: Buffer.concat([Buffer.from(head), body, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    type: `multipart/related; boundary=${boundary}`,
  }
}
