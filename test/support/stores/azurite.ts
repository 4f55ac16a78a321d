/**
 * Azure Blob Storage for tests: Azurite, Microsoft's own emulator, in a process of its own, over TLS so that
 * tokens are accepted too.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  AccountSASPermissions,
  ContainerSASPermissions,
  generateAccountSASQueryParameters,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import { freePorts, listens } from '../ports.ts'
import { caFile } from '../secrets/service.ts'
import { until } from '../wait.ts'

export interface Azurite {
  readonly endpoint: string
  readonly account: string
  readonly accountKey: string
  createContainer(name: string): Promise<void>
  /** What a signature under the policy `gateway` may do there: letters such as `cw`. */
  allow(container: string, permissions: string): Promise<void>
  /** A signature for the permissions of that policy, or its own ones. */
  sign(container: string, permissions?: string): string
  /** Every blob of a container, by name in order. */
  blobs(container: string): Promise<Map<string, { readonly body: Buffer; readonly type: string }>>
  close(): Promise<void>
}

const tls = (name: string) => new URL(`../secrets/tls/${name}`, import.meta.url).pathname
const program = new URL('../../../node_modules/azurite/dist/src/blob/main.js', import.meta.url).pathname

export async function startAzurite(): Promise<Azurite> {
  const folder = await mkdtemp(join(tmpdir(), 'azurite-'))
  const account = 'auditlogs'
  const accountKey = Buffer.from('a key of an account, for tests').toString('base64')
  const [port = 0] = await freePorts(1)
  const own = ['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', folder]
  const secure = ['--cert', tls('server.pem'), '--key', tls('server-key.pem'), '--oauth', 'basic']
  const quiet = ['--disableTelemetry', '--silent', '--skipApiVersionCheck']
  const child = spawn(process.execPath, [program, ...own, ...secure, ...quiet], {
    stdio: 'ignore',
    env: { ...process.env, AZURITE_ACCOUNTS: `${account}:${accountKey}` },
  })
  const close = async () => {
    const gone = child.exitCode === null ? once(child, 'exit') : null
    child.kill('SIGKILL')
    await gone
    await rm(folder, { recursive: true, maxRetries: 3 })
  }
  try {
    await until(() => listens(port), { what: 'Azurite listens', within_ms: 25_000 })
  } catch (error) {
    await close()
    throw error
  }
  const endpoint = `https://127.0.0.1:${port}/${account}`
  return { endpoint, account, accountKey, ...looking(endpoint, account, accountKey), close }
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: Buffer
}

const ca = readFileSync(caFile)

async function ask(
  url: string,
  method: string,
  headers: Record<string, string> = {},
  body = '',
): Promise<Answer> {
  const request = https.request(url, {
    method,
    ca,
    headers: { ...headers, 'content-length': Buffer.byteLength(body) },
  })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const status = response.statusCode ?? 0
  if (status >= 300) throw new Error(`${method} ${new URL(url).pathname}: ${status} ${Buffer.concat(chunks)}`)
  return { status, type: response.headers['content-type'] ?? '', body: Buffer.concat(chunks) }
}

/** By signatures and plain requests, so that tests look at what is stored with other eyes than the sink's. */
function looking(endpoint: string, account: string, accountKey: string) {
  const credential = new StorageSharedKeyCredential(account, accountKey)
  const expiresOn = new Date(Date.now() + 3_600_000)
  const everything = generateAccountSASQueryParameters(
    {
      expiresOn,
      permissions: AccountSASPermissions.parse('rwdlacup'),
      resourceTypes: 'sco',
      services: 'b',
    },
    credential,
  ).toString()
  const url = (path: string, query = '') =>
    `${endpoint}/${path}?${query === '' ? '' : `${query}&`}${everything}`
  return {
    sign: (containerName: string, permissions?: string) => {
      const allowed = permissions !== undefined && {
        expiresOn,
        permissions: ContainerSASPermissions.parse(permissions),
      }
      const how = allowed || { identifier: 'gateway' }
      return generateBlobSASQueryParameters({ containerName, ...how }, credential).toString()
    },
    createContainer: async (name: string) => {
      await ask(url(name, 'restype=container'), 'PUT', version)
    },
    allow: async (container: string, permissions: string) => {
      const policy = `<Expiry>${expiresOn.toISOString()}</Expiry><Permission>${permissions}</Permission>`
      const one = `<Id>gateway</Id><AccessPolicy>${policy}</AccessPolicy>`
      const list = `<SignedIdentifier>${one}</SignedIdentifier>`
      const body = `<?xml version="1.0" encoding="utf-8"?><SignedIdentifiers>${list}</SignedIdentifiers>`
      // No signature may do this.
      const headers = { ...version, 'x-ms-date': new Date().toUTCString() }
      const resource = `/${account}/${account}/${container}\ncomp:acl\nrestype:container`
      const own = Object.entries(headers)
        .sort()
        .map(([name, value]) => `${name}:${value}\n`)
      const text = `PUT\n\n\n${Buffer.byteLength(body)}${'\n'.repeat(9)}${own.join('')}${resource}`
      const authorization = `SharedKey ${account}:${credential.computeHMACSHA256(text)}`
      const target = `${endpoint}/${container}?restype=container&comp=acl`
      await ask(target, 'PUT', { ...headers, authorization }, body)
    },
    async blobs(container: string) {
      const list = await ask(url(container, 'restype=container&comp=list'), 'GET', version)
      const names = [...list.body.toString().matchAll(/<Name>([^<]+)<\/Name>/g)].map(([, name = '']) => name)
      const found = names.map(async (name) => {
        const path = name.split('/').map(encodeURIComponent).join('/')
        const { body, type } = await ask(url(`${container}/${path}`), 'GET', version)
        return [name, { body, type }] as const
      })
      return new Map(await Promise.all(found))
    },
  }
}

const version = { 'x-ms-version': '2024-11-04' }
