/** A gateway whose connection refers to secrets: in a fake Vault, and in a folder of mounted files. */
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Fault } from '../support/collector.ts'
import { startBed } from '../faults/bed.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { caFile } from '../support/secrets/service.ts'
import { type FakeVault, startVault } from '../support/secrets/vault.ts'

export interface SecretsBedOptions {
  /** Of the collector's connection. */
  connection: Record<string, unknown>
  mirror?: Record<string, unknown>
  cache?: Record<string, number>
  secrets?: Record<string, unknown>
  /** Changes to the provider of Vault. */
  vault?: Record<string, unknown>
  env?: Record<string, string>
  rest?: Record<string, unknown>
}

export async function startVaultForTest(): Promise<FakeVault> {
  const vault = await startVault()
  onEnd(vault.close)
  return vault
}

/** Hours in the cache unless told otherwise: what is seen is never a time that ran out. */
export async function startSecretsBed(options: SecretsBedOptions) {
  const vault = await startVaultForTest()
  const root = await tempDir('mirrorgate-secrets-')
  const mount = new Mount(root)
  const secrets = {
    providers: [
      {
        ...{ name: 'vault', provider: 'vault', kv_version: 2 },
        ...{ address: vault.url, token: '${env:VAULT_TOKEN}', ca_file: caFile },
        ...options.vault,
      },
      { name: 'mounted', provider: 'file', root },
    ],
    workato: 'vault',
    cache: { timeout_ms: 2000, negative_ms: 100, ...options.cache },
    ...options.secrets,
  }
  const { connection, mirror = {}, rest = {} } = options
  const env = { VAULT_TOKEN: vault.credentials.token, ...options.env }
  const start = () => startBed({ connection, mirror, rest: { ...rest, secrets } }, { env })
  return { vault, mount, start }
}

/** A folder as Kubernetes mounts secrets: files are links into `..data`, which is swapped as a whole. */
export class Mount {
  readonly root: string
  #version = 0

  constructor(root: string) {
    this.root = root
  }

  async put(volume: string, files: Readonly<Record<string, string>>): Promise<void> {
    const folder = join(this.root, volume)
    this.#version += 1
    const data = `..version_${this.#version}`
    await mkdir(join(folder, data), { recursive: true })
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(folder, data, name), text)
      await symlink(`..data/${name}`, join(folder, name)).catch(() => {})
    }
    await symlink(data, join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
  }
}

/** Answers 401 to everything that does not carry this value, and repeats what it got. */
export function wants(header: string, value: () => string): Fault {
  return {
    onHead(request, response) {
      const got = request.headers[header.toLowerCase()]
      if (got === value()) return false
      request.resume()
      response.writeHead(401, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ message: `not ${String(got)}` }))
      return true
    },
  }
}
