/** Reads secrets of Google Secret Manager, with the key of a service account or what the machine has. */
import { readFile } from 'node:fs/promises'
import type { SecretManagerServiceClient } from '@google-cloud/secret-manager'
import {
  createSecretsHttp,
  defineProvider,
  SecretError,
  type SecretsHttp,
  secretText,
  secretValue,
  Type,
  untilAborted,
  wrappedSecretError,
} from 'mirrorgate/plugin'

const text = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description })

/** What the status codes of Google mean (google.rpc.Code); what else it says is not repeated. */
const meanings: Readonly<Record<number, readonly [SecretError['kind'], string]>> = {
  3: ['not_found', 'the path must be the name of a secret (INVALID_ARGUMENT)'],
  5: ['not_found', 'there is no such secret or version (NOT_FOUND)'],
  7: ['denied', 'secretmanager.versions.access must be granted for this secret (PERMISSION_DENIED)'],
  9: ['not_found', 'its version is disabled or destroyed (FAILED_PRECONDITION)'],
  16: ['denied', 'the credentials are not accepted (UNAUTHENTICATED)'],
}

const pathRule = 'must be NAME or projects/PROJECT/secrets/NAME, with or without /versions/VERSION'
const pathPattern =
  /^(?:(projects\/[\w.:-]+\/(?:locations\/[\w-]+\/)?)secrets\/)?([\w-]{1,255})(?:\/versions\/([\w-]{1,63}))?$/

export default defineProvider({
  name: 'gcp-secret-manager',
  summary: 'Reads secrets of Google Secret Manager by name.',
  options: Type.Object(
    {
      project: Type.Optional(
        text('Project of secrets that are named without one; if absent, that of the credentials.'),
      ),
      key_file: Type.Optional(
        text('Key file of a service account; if absent, the credentials of the machine.'),
      ),
      endpoint: Type.Optional(
        text('Another host of the service, such as secretmanager.europe-west3.rep.googleapis.com.'),
      ),
      ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    },
    { additionalProperties: false },
  ),
  secretOptions: [],
  pathOptions: ['key_file', 'ca_file'],
  workato(reference) {
    return pathPattern.test(reference) ? { path: reference, key: null } : { rule: pathRule }
  },
  create(own) {
    const http = createSecretsHttp({ caFile: own.ca_file })
    let opened: Promise<SecretManagerServiceClient> | null = null
    const client = async () => {
      const opening = (opened ??= open(own, http))
      // A client that could not find credentials is of no use any more: the next read opens another one.
      opening.catch(() => {
        if (opened === opening) opened = null
      })
      return opening
    }
    return {
      async read(name, signal) {
        const [, parent, secret, version = 'latest'] = pathPattern.exec(name.path) ?? []
        if (secret === undefined) throw new SecretError('not_found', `the path ${pathRule}`)
        const reading = client().then(async (one) => {
          const within = parent ?? `projects/${own.project ?? (await one.getProjectId())}/`
          return access(one, `${within}secrets/${secret}/versions/${version}`, signal)
        })
        const data = await untilAborted(reading, signal).catch((error: unknown) => {
          throw failure(error)
        })
        return secretValue(secretText(data), name)
      },
      async close() {
        http.close()
        const one = await opened?.catch(() => null)
        await one?.close()
      },
    }
  },
})

interface Options {
  readonly project?: string
  readonly key_file?: string
  readonly endpoint?: string
}

async function open(own: Options, http: SecretsHttp): Promise<SecretManagerServiceClient> {
  const { SecretManagerServiceClient } = await import('@google-cloud/secret-manager')
  const [, host, port] = /^(.+?)(?::(\d+))?$/.exec(own.endpoint ?? '') ?? []
  const client = new SecretManagerServiceClient({
    fallback: true,
    clientOptions: { transporterOptions: { fetchImplementation: http.fetch as typeof fetch } },
    ...(own.project !== undefined && { projectId: own.project }),
    ...(host !== undefined && { apiEndpoint: host }),
    ...(port !== undefined && { port: Number(port) }),
  })
  // Not by its option `keyFilename`: that warns on the console, and takes files that say whom to ask.
  if (own.key_file !== undefined) client.auth.jsonContent = await readKey(own.key_file)
  // Each method of the client does it too, and leaves its failure unhandled, which would end the process.
  await client.initialize().catch((error: unknown) => {
    const rule =
      own.key_file === undefined
        ? 'set key_file, or give this machine a service account'
        : keyRule(own.key_file)
    throw wrappedSecretError(error) ?? new SecretError('denied', `no credentials: ${rule}`)
  })
  return client
}

const keyRule = (file: string) => `key_file must be the key of a service account, got ${file}`

async function readKey(file: string): Promise<Record<string, string>> {
  const text = await readFile(file, 'utf8').catch(({ code }: NodeJS.ErrnoException) => {
    throw new SecretError('denied', `reading key_file ${file}: ${code}`)
  })
  try {
    const key = JSON.parse(text) as Record<string, string>
    if (key['type'] === 'service_account') return key
  } catch {
    // Said below; the message of the parser quotes the text.
  }
  throw new SecretError('denied', keyRule(file))
}

/** Not by the client's method: that one writes the answer, which is the secret, to its debug log. */
async function access(
  client: SecretManagerServiceClient,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const call = client.innerApiCalls['accessSecretVersion']?.(
    { name },
    // The host decides when to try again.
    {
      retry: { retryCodes: [] },
      otherArgs: { headers: { 'x-goog-request-params': `name=${encodeURIComponent(name)}` } },
    },
  ) as Promise<[{ payload?: { data?: Uint8Array | string | null } | null }]> & { cancel(): void }
  const stop = () => call.cancel()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const [{ payload }] = await call
    const data = payload?.data
    if (data === undefined || data === null)
      throw new SecretError('unavailable', 'Google answered without the value of a secret')
    return typeof data === 'string' ? Buffer.from(data, 'base64') : data
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function failure(error: unknown): SecretError {
  const own = wrappedSecretError(error)
  if (own !== null) return own
  const { code, httpStatusCode: status } = error as { code?: unknown; httpStatusCode?: number }
  const meaning = typeof code === 'number' ? meanings[code] : undefined
  if (meaning !== undefined) return new SecretError(meaning[0], `Google refused: ${meaning[1]}`)
  if (status === undefined)
    return new SecretError('unavailable', 'Google answered with something else than a secret')
  return new SecretError('unavailable', `Google answered ${status}`)
}
