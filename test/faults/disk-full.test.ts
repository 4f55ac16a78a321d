/** A disk that fills up or takes no writes: clients are answered, drops are counted, and capture recovers. */
import { statfsSync } from 'node:fs'
import { appendFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tempDir } from '../support/files.ts'
import { droppedOf } from '../support/wait.ts'
import { startBed } from './bed.ts'
import { canMount, makeReadOnly, mountSmall } from './mount.ts'
import { minimal, refusedStart } from './refused-start.ts'

const MIB = 1024 * 1024

/** Takes what is free, to the last byte that can be had; resolves with the file to remove. */
async function fillUp(folder: string): Promise<string> {
  const file = join(folder, 'filler')
  for (let piece = MIB; piece >= 1024; piece = Math.floor(piece / 4)) {
    while (statfsSync(folder).bavail > 0) {
      const written = await appendFile(file, Buffer.alloc(piece)).then(
        () => true,
        () => false,
      )
      if (!written) break
    }
  }
  return file
}

const mounting = test.skipIf(!canMount)

mounting(
  'full: clients are answered, drops are counted, and capture recovers (needs root to mount)',
  async () => {
    const folder = await tempDir()
    const data = join(folder, 'data')
    mountSmall(data, 24 * MIB)
    const bed = await startBed({ mirror: { timeout_ms: 500 } }, { folder })
    await bed.send(50)
    await bed.expectAllDelivered()

    await bed.collector.stop()
    await bed.send(50)
    await bed.sees('a backlog is on disk', ({ legs }) =>
      legs.every(({ durable_items }) => durable_items === 50),
    )
    const filler = await fillUp(data)
    await bed.send(100)
    await bed.sees('the disk is known to be full', () =>
      bed.gateway.logs().some(({ msg }) => msg === 'disk nearly full: spooling stops'),
    )
    for (let round = 0; round < 3; round += 1) await bed.send(100)
    const full = await bed.sees('what came meanwhile is given up', ({ counts, legs }) => {
      const durable = legs.reduce((sum, leg) => sum + leg.durable_items, 0)
      return counts.captured === 2 * bed.answered && counts.waiting === durable && droppedOf(counts) > 0
    })
    expect(Object.keys(full.counts.dropped).filter((reason) => !/^spool_(full|error)$/.test(reason))).toEqual(
      [],
    )
    expect(await bed.gateway.admin.call('GET', '/readyz')).toMatchObject({ status: 200 })

    await rm(filler)
    await bed.collector.start()
    const back = await bed.sees('the backlog is delivered', ({ counts }) => counts.waiting === 0)
    expect(back.counts.delivered + droppedOf(back.counts)).toBe(back.counts.captured)
    await bed.sees('the disk is known to have room', () =>
      bed.gateway.logs().some(({ msg }) => msg === 'disk has room again'),
    )
    const before = droppedOf(back.counts)
    await bed.send(50)
    const after = await bed.sees(
      'capture goes on',
      ({ counts }) => counts.captured === 2 * bed.answered && counts.waiting === 0,
    )
    expect(droppedOf(after.counts)).toBe(before)

    expect(await bed.gateway.stop()).toBe(0)
    await bed.restart()
    const again = await bed.view()
    expect(again.counts).toEqual(after.counts)
    expect((await bed.gateway.admin.status()).unclean_shutdown).toBe(false)
  },
)

mounting(
  'full, with a collector that works: what was on disk is still delivered (needs root to mount)',
  async () => {
    const folder = await tempDir()
    const data = join(folder, 'data')
    mountSmall(data, 24 * MIB)
    const bed = await startBed({}, { folder })
    await bed.gateway.admin.pause('salt')
    await bed.send(50)
    await bed.sees('a backlog is on disk', ({ legs }) =>
      legs.every(({ durable_items }) => durable_items === 50),
    )
    const filler = await fillUp(data)
    // To resume is a write to the store: it may be refused while nothing can be written.
    await bed.gateway.admin.call('POST', '/api/mirrors/salt/resume')
    await bed.send(100)
    await rm(filler)
    await bed.gateway.admin.resume('salt')
    const view = await bed.sees(
      'nothing waits',
      ({ counts }) => counts.captured === 300 && counts.waiting === 0,
    )
    expect(view.legs.every(({ counts }) => counts.delivered >= 50)).toBe(true)
    expect(bed.collector.totals('requests').items).toBe(view.legs[0]?.counts.delivered)
  },
)

mounting('full at the start: it ends with code 3 and says so (needs root to mount)', async () => {
  const data = join(await tempDir(), 'data')
  mountSmall(data, MIB)
  await fillUp(data)
  const { exitCode, message } = await refusedStart({ ...minimal, data_dir: data })
  expect(exitCode).toBe(3)
  expect(message).toContain(`data_dir ${data}`)
})

mounting('read-only: it ends with code 3 and says so (needs root to mount)', async () => {
  const data = await tempDir()
  makeReadOnly(data)
  const { exitCode, message } = await refusedStart({ ...minimal, data_dir: data })
  expect(exitCode).toBe(3)
  expect(message).toContain(`data_dir ${data} must be a folder this user can write to`)
  expect(message).toMatch(/read-only|EROFS/)
})
