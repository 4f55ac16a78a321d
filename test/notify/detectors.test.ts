/** Clock and certificates: what is noticed, and what is not. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { incidentKindNames } from '../../src/contract/incidents.ts'
import { certificatesOf, endOf } from '../../src/notify/certificates.ts'
import { ClockWatch } from '../../src/notify/clock.ts'
import { makeCertificate } from '../support/certificates.ts'
import { tempDir } from '../support/files.ts'

test('a clock that jumps is noticed once, either way; one that is slewed is not', () => {
  const clocks = {
    at: 1000,
    offset: 1_700_000_000_000,
    wall: () => clocks.at + clocks.offset,
    monotonic: () => clocks.at,
  }
  const watch = new ClockWatch(5000, clocks)
  const looks = (passed: number, moved: number) => {
    clocks.at += passed
    clocks.offset += moved
    return watch.look()
  }
  expect(looks(1000, 0)).toBe(0)
  expect(looks(1000, 500)).toBe(0)
  expect(looks(60_000, 4999)).toBe(0)
  expect(looks(1000, 7_200_000)).toBe(7_200_000)
  expect(looks(1000, 0)).toBe(0)
  expect(looks(1000, -6000)).toBe(-6000)
})

test('every certificate of a configuration is found, and the first of a file to end counts', async () => {
  const folder = await tempDir()
  const soon = makeCertificate(folder, { days: 3, name: 'soon' })
  const late = makeCertificate(folder, { days: 300, name: 'late' })
  const both = join(folder, 'both.pem')
  await writeFile(both, Buffer.concat([late.cert, soon.cert]))
  const tls = { cert_file: both, key_file: soon.keyFile }
  const config = {
    connections: [{ name: 'salt', tls }],
    listen: { tls: { certificates: [{ cert_file: 'c' }] } },
  }
  expect(certificatesOf(config)).toEqual([
    { place: 'connections[salt].tls.cert_file', file: both },
    { place: 'listen.tls.certificates[0].cert_file', file: 'c' },
  ])
  const days = ((await endOf(both)) ?? 0) - Date.now()
  expect(Math.round(days / 86_400_000)).toBe(3)
  expect(await endOf(soon.keyFile)).toBeNull()
  expect(await endOf(join(folder, 'missing.pem'))).toBeNull()
})

test('the page names every kind of incident', async () => {
  const page = await readFile(new URL('../../docs/notifications.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, kind]) => kind)
  expect(rows).toEqual(incidentKindNames)
})
