/** Credentials of a role: asked for at the Security Token Service with the credentials that a client has. */
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'
import { type Meanings, OutcomeError, serviceRefusal, type SinkHttp } from 'mirrorgate/plugin'
import { element } from './errors.ts'

type Credentials = Extract<NonNullable<S3ClientConfig['credentials']>, (...given: never[]) => unknown>

interface Role {
  readonly role_arn: string
  readonly external_id?: string
  readonly sts_endpoint?: string
}

/** The SDK asks again when they are about to expire. */
export function roleCredentials(client: S3Client, role: Role, http: SinkHttp): Credentials {
  return async () => {
    const region = await client.config.region()
    const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
    const url = new URL(role.sts_endpoint ?? `https://sts.${region}.${domain}/`)
    const body = new URLSearchParams({
      Action: 'AssumeRole',
      Version: '2011-06-15',
      RoleArn: role.role_arn,
      RoleSessionName: 'mirrorgate',
      ...(role.external_id !== undefined && { ExternalId: role.external_id }),
    }).toString()
    const headers = await signed(client, region, url, body)
    // The delivery that waits for it ends by its own time-out; this must not outlive it for long.
    const answer = await http.send(
      { method: 'POST', url: url.href, headers, body },
      AbortSignal.timeout(10_000),
    )
    const text = answer.body.toString()
    if (answer.status !== 200) throw serviceRefusal('AWS STS', answer, element(text, 'Code'), meanings(role))
    const found = (name: string) => element(text, name) ?? ''
    const [accessKeyId, secretAccessKey, sessionToken] = [
      'AccessKeyId',
      'SecretAccessKey',
      'SessionToken',
    ].map(found)
    const expiration = new Date(found('Expiration'))
    if (!accessKeyId || !secretAccessKey || !sessionToken || Number.isNaN(expiration.getTime()))
      throw new OutcomeError('refused', 'sts_endpoint answered 200 without credentials: it is no AWS STS')
    return { accessKeyId, secretAccessKey, sessionToken, expiration }
  }
}

async function signed(
  client: S3Client,
  region: string,
  url: URL,
  body: string,
): Promise<Record<string, string>> {
  const [{ SignatureV4 }, { HttpRequest }, { Sha256 }] = await Promise.all([
    import('@smithy/signature-v4'),
    import('@smithy/protocol-http'),
    import('@aws-crypto/sha256-js'),
  ])
  const signer = new SignatureV4({
    credentials: client.config.credentials,
    region,
    service: 'sts',
    sha256: Sha256,
  })
  const headers = { host: url.host, 'content-type': 'application/x-www-form-urlencoded' }
  const { hostname, protocol, pathname: path } = url
  const request = await signer.sign(
    new HttpRequest({ method: 'POST', protocol, hostname, path, headers, body }),
  )
  return request.headers
}

function meanings({ role_arn }: Role): Meanings {
  return {
    AccessDenied: [
      'unauthorized',
      `sts:AssumeRole must be allowed on ${role_arn}, and its trust policy must name these credentials`,
    ],
    InvalidClientTokenId: ['unauthorized', 'there is no such access key: check access_key_id'],
    SignatureDoesNotMatch: ['unauthorized', 'check secret_access_key and the clock of this machine'],
    ExpiredToken: ['unauthorized', 'the credentials have expired: renew them'],
    RegionDisabledException: ['refused', 'the region gives no roles: enable it in the account'],
    Throttling: ['retry', 'too many requests at a time'],
  }
}
