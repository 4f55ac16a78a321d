/** A gateway that must not start: what it says, and the code it ends with. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { GatewayProcess, GatewayStartError } from '../../demo/gateway-process.ts'
import { tempDir } from '../support/files.ts'

/** A configuration that starts, unless something is changed. */
export const minimal = {
  admin: { port: 0 },
  listen: { host: '127.0.0.1', port: 0 },
  collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:1' }] }],
}

export async function refusedStart(config: Record<string, unknown>): Promise<GatewayStartError> {
  const configFile = join(await tempDir(), 'gateway.yaml')
  await writeFile(configFile, stringify(config))
  const outcome: unknown = await GatewayProcess.start({ configFile }).catch((error: unknown) => error)
  if (outcome instanceof GatewayStartError) return outcome
  if (outcome instanceof GatewayProcess) await outcome.stop('SIGKILL')
  throw new Error(`the gateway must not start, got ${String(outcome)}`)
}
