/** kill -9 during appends: every acknowledged entry stands, and the chains are whole. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { SOAK_MS, soak } from '../support/soak.ts'
import { activity, expectIntact, openStore, randomFrom } from './rig.ts'

const program = fileURLToPath(new URL('./appender.ts', import.meta.url))
const rounds = soak ? 20 : 3
const random = randomFrom(9)

/** Ids that a process acknowledged until it was killed, after at least so many. */
async function acknowledgedUntilKilled(folder: string, least: number): Promise<number[]> {
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  onEnd(() => child.kill('SIGKILL'))
  let text = ''
  let lines = 0
  for await (const chunk of child.stdout) {
    text += String(chunk)
    lines += String(chunk).split('\n').length - 1
    if (lines >= least) child.kill('SIGKILL')
  }
  await ended
  // A line that the kill cut may be a part of an id.
  return text.split('\n').slice(0, -1).map(Number)
}

test('what was acknowledged before a kill stands after it', {
  timeout: soak ? SOAK_MS : 60_000,
}, async () => {
  const folder = await tempDir()
  let before = 0
  for (let round = 0; round < rounds; round += 1) {
    const acknowledged = await acknowledgedUntilKilled(folder, 500 + Math.floor(random() * 8000))
    expect(new Set(acknowledged).size).toBe(acknowledged.length)
    expect(Math.min(...acknowledged), 'ids are never used again').toBeGreaterThan(before)
    const standing = new Set(await expectIntact(folder))
    expect(acknowledged.filter((id) => !standing.has(id))).toEqual([])

    const store = openStore(folder)
    const { total } = await store.activity.page({ environment: 'prod', order: 'desc', size: 1 })
    const { by_type } = await store.activity.stats({ environment: 'prod' })
    expect(by_type).toEqual({ recipe_updated: total })
    const [next = 0] = await store.activity.append([activity()])
    expect(next).toBe(standing.size + 1)
    before = next
    await store.close()
  }
  await expectIntact(folder)
})
