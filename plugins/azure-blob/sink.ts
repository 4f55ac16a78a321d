/** Writes events as blobs to a container of Azure Blob Storage. */
import type { BlockBlobUploadOptions, ContainerClient, StoragePipelineOptions } from '@azure/storage-blob'
import {
  defineSink,
  type ObjectFile,
  objectKeyRule,
  objectLimits,
  objectOptions,
  publicUrl,
  type SinkHttp,
  type Static,
  Type,
  uploadObjects,
  wrappedOutcome,
} from 'mirrorgate/plugin'
import { address, credentialOf, identityOptions, identityRule } from '../azure/entra.ts'
import { clientOver } from '../azure/transport.ts'
import { blobRefusal, storedBefore } from './errors.ts'

const secret = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, secret: true, description }))

const options = Type.Object(
  {
    account: Type.String({
      pattern: '^[a-z0-9]{3,24}$',
      rule: 'must be the name of a storage account: 3 to 24 lower-case letters and digits',
      description: 'The storage account.',
    }),
    container: Type.String({
      pattern: '^(\\$root|[a-z0-9](-?[a-z0-9]){2,62})$',
      rule: 'must be the name of a container: 3 to 63 lower-case letters, digits and single dashes',
      description: 'The container; it must exist.',
    }),
    endpoint: address(
      'Address of the account, in other clouds; if absent, https://ACCOUNT.blob.core.windows.net.',
    ),
    account_key: secret('Key of the account.'),
    sas_token: secret('Shared access signature with the permissions create and write (sp=cw).'),
    ...identityOptions,
    access_tier: Type.Optional(
      Type.Enum(['Hot', 'Cool', 'Cold', 'Archive'], { description: 'If absent, what the account says.' }),
    ),
    ...objectOptions,
  },
  { additionalProperties: false },
)

type Options = Static<typeof options>

export default defineSink({
  name: 'azure-blob',
  summary: 'Writes a JSON file per event, or an NDJSON file per batch, to a container of Azure Blob Storage.',
  options,
  formats: ['exchange'],
  urls: [],
  limits: objectLimits,
  signsIn: true,
  rule(own) {
    const { account_key, sas_token, tenant_id, client_id, client_secret } = own
    if (account_key !== undefined && sas_token !== undefined)
      return { key: 'sas_token', rule: 'must not stand beside account_key, choose one of the two' }
    const application = client_id !== undefined || tenant_id !== undefined || client_secret !== undefined
    if (application && (account_key ?? sas_token) !== undefined)
      return { key: 'client_id', rule: 'must not stand beside account_key or sas_token, choose one of them' }
    return identityRule(own) ?? objectKeyRule(own)
  },
  legs: (own) => [{ name: 'blobs', half: 'exchange', url: publicUrl(addressOf(own)) }],
  create(context) {
    const { options: own, http } = context
    let opened: Promise<ContainerClient> | null = null
    const put = async ({ key, body, contentType }: ObjectFile, signal: AbortSignal) => {
      const opening = (opened ??= open(own, http))
      const blob = (await opening).getBlockBlobClient(key)
      const about: BlockBlobUploadOptions = {
        abortSignal: signal,
        blobHTTPHeaders: { blobContentType: contentType },
        ...(own.access_tier !== undefined && { tier: own.access_tier }),
      }
      try {
        await blob.upload(body, body.length, about)
      } catch (error) {
        const outcome = wrappedOutcome(error)
        if (outcome !== storedBefore) throw outcome ?? error
      }
    }
    return { write: (batch, signal) => uploadObjects(batch, context, signal, put), close() {} }
  },
})

function addressOf({ endpoint, account, container }: Options): string {
  return `${(endpoint ?? `https://${account}.blob.core.windows.net`).replace(/(?<!\/)\/+$/, '')}/${container}`
}

async function open(own: Options, http: SinkHttp): Promise<ContainerClient> {
  const blobs = await import('@azure/storage-blob')
  const { account, account_key, sas_token } = own
  const client = clientOver(http, (answer) => blobRefusal(answer, own))
  const pipeline: StoragePipelineOptions = {
    httpClient: client as unknown as NonNullable<StoragePipelineOptions['httpClient']>,
    // The host decides when to try again.
    retryOptions: { maxTries: 1 },
  }
  const url = addressOf(own)
  if (sas_token !== undefined) {
    const signed = `${url}?${sas_token.replace(/^\?/, '')}`
    return new blobs.ContainerClient(signed, new blobs.AnonymousCredential(), pipeline)
  }
  const credential =
    account_key === undefined
      ? await credentialOf(own, http, 'account_key, sas_token or an application')
      : new blobs.StorageSharedKeyCredential(account, account_key)
  return new blobs.ContainerClient(url, credential, pipeline)
}
