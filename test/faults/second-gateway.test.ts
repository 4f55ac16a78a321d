/**
 * Two gateways on one data folder or one port: the second ends with code 3 and the sentence that says
 * which.
 */
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { onEnd } from '../support/cleanup.ts'
import { startBed } from './bed.ts'
import { minimal, refusedStart } from './refused-start.ts'

test('the second ends and says why; the first notices nothing, and its folder stays as it was', async () => {
  const bed = await startBed({ rest: { listen: { threads: 2 } } })
  const { dataDir, port, adminPort } = bed.gateway
  const ofFolder = await refusedStart({ ...minimal, data_dir: dataDir })
  expect(ofFolder).toMatchObject({
    exitCode: 3,
    message: expect.stringContaining(`data_dir ${dataDir} is in use by another mirrorgate`),
  })
  for (const threads of [1, 2]) {
    const listen = { host: '127.0.0.1', port, threads }
    expect(await refusedStart({ ...minimal, listen })).toMatchObject({
      exitCode: 3,
      message: expect.stringContaining(`port ${port}: the port is taken`),
    })
  }
  const ofAdmin = await refusedStart({ ...minimal, admin: { port: adminPort } })
  expect(ofAdmin.exitCode).toBe(3)
  expect(ofAdmin.message).toContain(String(adminPort))
  expect(ofAdmin.message).toContain('admin')
  // The first one noticed nothing of all that.
  await bed.send(20)
  await bed.expectAllDelivered()

  // A start that failed leaves no trace in a folder that is free: the next one is not called unclean.
  expect(await bed.gateway.stop()).toBe(0)
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  onEnd(() => new Promise((resolve) => other.close(resolve)))
  const { port: taken } = other.address() as { port: number }
  const { exitCode } = await refusedStart({
    ...minimal,
    listen: { host: '127.0.0.1', port: taken },
    data_dir: bed.gateway.dataDir,
  })
  expect(exitCode).toBe(3)
  await bed.restart()
  expect((await bed.gateway.admin.status()).unclean_shutdown).toBe(false)
  await bed.expectAllDelivered()
})
