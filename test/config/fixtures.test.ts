/** Every fixture says exactly what stands beside it: bad ones their problems, good ones `ok` and warnings. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { env, report } from './report.ts'

/** Everything in the fixtures that is a secret, wherever it stands. */
const secrets = [
  'hunter2',
  'correct-horse',
  'battery',
  'aHVudGVyMjpodW50ZXIy',
  env.OPS_TOKEN,
  env.OTHER_TOKEN,
]

function fixtures(kind: 'bad' | 'good'): { name: string; file: string; expected: string }[] {
  const folder = fileURLToPath(new URL(kind, import.meta.url))
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => {
      const expected = readFileSync(join(folder, file.replace(/yaml$/, 'txt')), 'utf8')
      return { name: file.slice(0, -'.yaml'.length), file: join(folder, file), expected }
    })
}

describe('bad configurations', () => {
  test('there are at least sixty', () => {
    expect(fixtures('bad').length).toBeGreaterThanOrEqual(60)
  })

  test.each(fixtures('bad'))('$name', async ({ file, expected }) => {
    const said = await report(file)
    expect(said).toBe(expected)
    expect(said.startsWith('ok')).toBe(false)
  })
})

describe('good configurations', () => {
  test.each(fixtures('good'))('$name', async ({ file, expected }) => {
    const said = await report(file)
    expect(said).toBe(expected)
    expect(said.startsWith('ok\n')).toBe(true)
  })
})

test('no expected output holds a secret', () => {
  for (const { name, expected } of [...fixtures('bad'), ...fixtures('good')]) {
    for (const secret of secrets) expect(expected, name).not.toContain(secret)
  }
})
