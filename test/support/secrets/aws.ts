/**
 * A fake of AWS Secrets Manager: GetSecretValue in its JSON protocol. It checks each signature by making it
 * again with AWS's own signer.
 */
import { signatureFault, type SignatureFault } from './sigv4.ts'
import { type Asked, type Reply, type Service, startService } from './service.ts'

export interface FakeAws extends Service {
  readonly region: string
  readonly keys: { readonly id: string; readonly secret: string; readonly sessionToken: string }
  /** Whether requests must carry the session token. */
  session: boolean
  /** By name: text, bytes, or null for one that is scheduled for deletion. */
  readonly secrets: Map<string, string | Buffer | null>
  readonly denied: Set<string>
  arn(name: string): string
}

export async function startAws(): Promise<FakeAws> {
  const service = await startService((asked) => answer(aws, asked))
  const aws: FakeAws = Object.assign(service, {
    region: 'eu-central-1',
    keys: {
      id: 'AKIAEXAMPLE',
      secret: 'wJalrXUtnFEMI/K7MDENG/test',
      sessionToken: 'IQoJb3JpZ2luX2VjEXAMPLE',
    },
    session: false,
    secrets: new Map(),
    denied: new Set<string>(),
    arn: (name: string) => `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}-AbCdEf`,
  })
  return aws
}

const failure = (type: string, message: string, status = 400): Reply => ({
  status,
  body: { __type: type, Message: message },
  headers: { 'content-type': 'application/x-amz-json-1.1' },
})

async function answer(aws: FakeAws, asked: Asked): Promise<Reply> {
  const refused = await signatureProblem(aws, asked)
  if (refused !== null) return refused
  const target = asked.headers['x-amz-target']
  if (asked.method !== 'POST' || target !== 'secretsmanager.GetSecretValue')
    return failure('UnknownOperationException', '')
  const { SecretId: id = '' } = JSON.parse(asked.body) as { SecretId?: string }
  const name = [...aws.secrets.keys()].find((one) => one === id || aws.arn(one) === id)
  if (name !== undefined && aws.denied.has(name)) {
    const who = 'arn:aws:iam::123456789012:user/gateway'
    const message = `User: ${who} is not authorized to perform: secretsmanager:GetSecretValue`
    return failure('AccessDeniedException', message)
  }
  const value = name === undefined ? undefined : aws.secrets.get(name)
  if (name === undefined || value === undefined)
    return failure('ResourceNotFoundException', "Secrets Manager can't find the specified secret.")
  if (value === null) {
    const message = 'You can’t perform this operation on the secret because it was marked for deletion.'
    return failure('InvalidRequestException', message)
  }
  const held =
    typeof value === 'string' ? { SecretString: value } : { SecretBinary: value.toString('base64') }
  const about = { ARN: aws.arn(name), Name: name, VersionId: '00000000-0000-4000-8000-000000000001' }
  return { status: 200, body: { ...about, ...held, VersionStages: ['AWSCURRENT'], CreatedDate: 1.7e9 } }
}

/** Signature Version 4, as AWS checks it; null when it is right. */
async function signatureProblem(aws: FakeAws, asked: Asked): Promise<Reply | null> {
  const said: Readonly<Record<SignatureFault, readonly [string, string]>> = {
    unsigned: ['MissingAuthenticationTokenException', 'Missing Authentication Token'],
    key: ['UnrecognizedClientException', 'The security token included in the request is invalid.'],
    token: ['UnrecognizedClientException', 'The security token included in the request is invalid.'],
    clock: ['InvalidSignatureException', 'expired'],
    region: ['InvalidSignatureException', 'Credential should be scoped to a valid region.'],
    signature: ['InvalidSignatureException', 'The request signature we calculated does not match'],
  }
  const keys = { ...aws.keys, sessionToken: aws.session ? aws.keys.sessionToken : null }
  const fault = await signatureFault(asked, keys, { service: 'secretsmanager', region: aws.region })
  return fault === null ? null : failure(...said[fault])
}
