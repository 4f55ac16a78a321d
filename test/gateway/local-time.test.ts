/** Times with the offset of a zone: the one that held then, not the one that holds now. */
import { expect, test } from 'vitest'
import { localTime } from '../../src/contract/local-time.ts'

test.each([
  ['America/Los_Angeles', '2024-08-29T21:09:13.999Z', '2024-08-29T14:09:13-07:00'],
  ['America/Los_Angeles', '2024-12-31T07:59:59Z', '2024-12-30T23:59:59-08:00'],
  ['America/Los_Angeles', '2024-03-10T09:59:59Z', '2024-03-10T01:59:59-08:00'],
  ['America/Los_Angeles', '2024-03-10T10:00:00Z', '2024-03-10T03:00:00-07:00'],
  ['Europe/Berlin', '2024-10-27T00:30:00Z', '2024-10-27T02:30:00+02:00'],
  ['Europe/Berlin', '2024-10-27T01:30:00Z', '2024-10-27T02:30:00+01:00'],
  ['Asia/Kathmandu', '2024-01-01T00:00:00Z', '2024-01-01T05:45:00+05:45'],
  ['America/St_Johns', '2024-01-01T00:00:00Z', '2023-12-31T20:30:00-03:30'],
  ['UTC', '2024-01-01T00:00:00Z', '2024-01-01T00:00:00+00:00'],
])('%s at %s is %s', (zone, at, expected) => {
  const text = localTime(zone)(Date.parse(at))
  expect(text).toBe(expected)
  expect(Math.floor(Date.parse(text) / 1000)).toBe(Math.floor(Date.parse(at) / 1000))
})
