/** What happens often is told early, completely, and at most once per kind and window. */
import { beforeEach, expect, test, vi } from 'vitest'
import { Tally } from '../../src/telemetry/tally.ts'

let told: [string, number][] = []
const tally = (kindsMax = 10) =>
  new Tally<string>({ kindsMax, others: 'others', tell: (about, count) => told.push([about, count]) })

beforeEach(() => {
  told = []
  vi.useFakeTimers()
  return () => vi.useRealTimers()
})

test('the first is told at once, the rest of its minute as one count, with the last one said', () => {
  const losses = tally()
  losses.add('a', 'a1', 5)
  expect(told).toEqual([['a1', 5]])
  losses.add('a', 'a2', 2)
  losses.add('a', 'a3')
  vi.advanceTimersByTime(59_999)
  expect(told).toHaveLength(1)
  vi.advanceTimersByTime(1)
  expect(told).toEqual([
    ['a1', 5],
    ['a3', 3],
  ])
  losses.add('a', 'a4')
  vi.advanceTimersByTime(59_999)
  expect(told).toHaveLength(2)
  vi.advanceTimersByTime(1)
  expect(told[2]).toEqual(['a4', 1])
})

test('a kind that was silent for a minute is told at once again, and leaves no timer behind', () => {
  const losses = tally()
  losses.add('a', 'a')
  vi.advanceTimersByTime(30_000)
  losses.add('b', 'b')
  vi.advanceTimersByTime(30_000)
  losses.add('a', 'a')
  expect(told).toEqual([
    ['a', 1],
    ['b', 1],
    ['a', 1],
  ])
  vi.advanceTimersByTime(60_000)
  expect(vi.getTimerCount()).toBe(0)
})

test('more kinds than may be told apart are told together, and none is lost', () => {
  const losses = tally(2)
  for (let at = 0; at < 100; at += 1) losses.add(`kind ${at}`, `kind ${at}`)
  expect(told).toEqual([
    ['kind 0', 1],
    ['kind 1', 1],
    ['others', 1],
  ])
  losses.flush()
  expect(told[3]).toEqual(['others', 97])
  expect(vi.getTimerCount()).toBe(0)
})
