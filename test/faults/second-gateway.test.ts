/** Two gateways on one data folder or one port: the second ends with code 3 and the sentence that says which. */
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { GatewayProcess, GatewayStartError } from '../../demo/gateway-process.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { startBed } from './bed.ts'

/** Starts a gateway that must not start; what it said and its exit code. */
async function refused(config: Record<string, unknown>): Promise<{ exitCode: number | null; message: string }> {
  const configFile = join(await tempDir(), 'gateway.yaml')
  await writeFile(configFile, stringify(config))
  const start = GatewayProcess.start({ configFile })
  const error = await start.then(
    async (gateway) => {
      await gateway.stop('SIGKILL')
      return null
    },
    (reason: unknown) => reason,
  )
  if (!(error instanceof GatewayStartError)) throw new Error(`it must not start, got ${String(error)}`)
  return error
}

const minimal = {
  admin: { port: 0 },
  listen: { host: '127.0.0.1', port: 0 },
  collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:1' }] }],
}

test('the same data folder', async () => {
  const bed = await startBed()
  const { exitCode, message } = await refused({ ...minimal, data_dir: bed.gateway.dataDir })
  expect(exitCode).toBe(3)
  expect(message).toContain(`data_dir ${bed.gateway.dataDir} is in use by another mirrorgate`)
  await bed.send(20)
  await bed.expectAllDelivered()
})

test('the same port, also where several threads share one', async () => {
  const bed = await startBed({ rest: { listen: { threads: 2 } } })
  for (const threads of [1, 2]) {
    const listen = { host: '127.0.0.1', port: bed.gateway.port, threads }
    const { exitCode, message } = await refused({ ...minimal, listen })
    expect([exitCode, message]).toEqual([3, expect.stringContaining(`port ${bed.gateway.port}: the port is taken`)])
  }
  await bed.send(20)
  await bed.expectAllDelivered()
})

test('the same admin port', async () => {
  const bed = await startBed()
  const { exitCode, message } = await refused({ ...minimal, admin: { port: bed.gateway.adminPort } })
  expect(exitCode).toBe(3)
  expect(message).toContain(String(bed.gateway.adminPort))
  expect(message).toContain('admin')
})

test('a start that failed leaves the data folder as it was: the next one is not called unclean', async () => {
  const bed = await startBed()
  await bed.send(10)
  await bed.expectAllDelivered()
  expect(await bed.gateway.stop()).toBe(0)
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  onEnd(() => new Promise((resolve) => other.close(resolve)))
  const { port } = other.address() as { port: number }
  const { exitCode } = await refused({
    ...minimal,
    listen: { host: '127.0.0.1', port },
    data_dir: bed.gateway.dataDir,
  })
  expect(exitCode).toBe(3)
  await bed.restart()
  expect((await bed.gateway.admin.status()).unclean_shutdown).toBe(false)
  await bed.expectAllDelivered()
})
