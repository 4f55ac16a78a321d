/** Checks Signature Version 4 of AWS by making each signature again with AWS's own signer. */
import { createHash } from 'node:crypto'
import { Sha256 } from '@aws-crypto/sha256-js'
import { HttpRequest } from '@smithy/protocol-http'
import { SignatureV4 } from '@smithy/signature-v4'
import type { Asked } from './service.ts'

/** In the order of the checks. */
export type SignatureFault = 'unsigned' | 'key' | 'token' | 'clock' | 'region' | 'signature'

interface Keys {
  readonly id: string
  readonly secret: string
  /** What requests must carry; null = nothing. */
  readonly sessionToken: string | null
}

const maxSkewMs = 15 * 60_000
const pattern =
  /Credential=([^/]+)\/\d+\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w{64})$/

/** What is wrong with the signature of a request; null when it is right. */
export async function signatureFault(
  { method, url, headers, bytes }: Asked,
  keys: Keys,
  scope: { readonly service: string; readonly region: string },
): Promise<SignatureFault | null> {
  const found = pattern.exec(headers.authorization ?? '') ?? []
  const [, id, region = '', service = '', signed = '', signature] = found
  if (id === undefined) return 'unsigned'
  if (id !== keys.id) return 'key'
  const token = headers['x-amz-security-token']
  if (token !== (keys.sessionToken ?? undefined)) return 'token'
  const date = String(headers['x-amz-date'])
  const when = new Date(date.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(Date.now() - when.getTime()) < maxSkewMs)) return 'clock'
  if (region !== scope.region) return 'region'
  const names = signed.split(';')
  const session = keys.sessionToken === null ? {} : { sessionToken: keys.sessionToken }
  const signer = new SignatureV4({
    credentials: { accessKeyId: id, secretAccessKey: keys.secret, ...session },
    region,
    service,
    sha256: Sha256,
    // S3 alone signs paths as they are sent.
    uriEscapePath: scope.service !== 's3',
  })
  const again = await signer.sign(
    new HttpRequest({
      method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: Object.fromEntries(names.map((name) => [name, String(headers[name])])),
      body: bytes,
    }),
    { signingDate: when, signableHeaders: new Set(names) },
  )
  const right = again.headers['authorization']?.endsWith(`Signature=${signature}`) === true
  const hash = headers['x-amz-content-sha256'] ?? digestOf(bytes)
  const whole = service === scope.service && names.includes('host') && hash === digestOf(bytes)
  return right && whole ? null : 'signature'
}

const digestOf = (body: Buffer) => createHash('sha256').update(body).digest('hex')
