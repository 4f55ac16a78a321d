/** Which upstream gets a request, which is left out, and how often a request is tried again. */
import { expect, test } from 'vitest'
import { type Balanced, Balancer, RetryBudget } from '../../src/proxy/balance.ts'

interface Named extends Balanced {
  name: string
}
const upstream = (name: string, weight = 1): Named => ({ name, weight, failuresInRow: 0, ejectedUntil: 0 })
const rule = { after_failures: 2, for_ms: 1000 }

function picks(balancer: Balancer<Named>, count: number, now = 0): string {
  return Array.from({ length: count }, () => balancer.pick(now, null).name).join('')
}

test('weights are kept in every round, and spread', () => {
  const balancer = new Balancer([upstream('a', 5), upstream('b'), upstream('c')], rule)
  expect(picks(balancer, 7)).toBe('aabacaa')
  expect(picks(balancer, 7)).toBe('aabacaa')
})

test('failures in a row eject, for a while', () => {
  const [a, b] = [upstream('a'), upstream('b')]
  const balancer = new Balancer([a, b], rule)
  expect(balancer.failed(a, 0)).toBe(false)
  balancer.succeeded(a)
  expect(balancer.failed(a, 0)).toBe(false)
  expect(balancer.failed(a, 0)).toBe(true)
  expect(picks(balancer, 4, 999)).toBe('bbbb')
  expect(picks(balancer, 4, 1000).split('').sort().join('')).toBe('aabb')
})

test('the last one standing is never ejected', () => {
  const [a, b] = [upstream('a'), upstream('b')]
  const balancer = new Balancer([a, b], rule)
  for (let i = 0; i < 10; i++) balancer.failed(a, 0)
  for (let i = 0; i < 10; i++) expect(balancer.failed(b, 0)).toBe(false)
  expect(picks(balancer, 3, 1)).toBe('bbb')
  const alone = new Balancer([upstream('only')], rule)
  for (let i = 0; i < 10; i++) expect(alone.failed(alone.upstreams[0] as Named, 0)).toBe(false)
})

test('a retry goes to another one, but rather to the same than to an ejected one', () => {
  const [a, b] = [upstream('a'), upstream('b')]
  const balancer = new Balancer([a, b], rule)
  for (let i = 0; i < 5; i++) expect(balancer.pick(0, a).name).toBe('b')
  b.ejectedUntil = 10
  expect(balancer.pick(0, a).name).toBe('a')
})

test('the budget bounds retries by a share of requests', () => {
  const budget = new RetryBudget(0.2)
  const taken = () => {
    let count = 0
    while (budget.take()) count++
    return count
  }
  expect(taken()).toBe(10)
  for (let i = 0; i < 50; i++) budget.request()
  expect(taken()).toBeGreaterThanOrEqual(9)
  for (let i = 0; i < 100_000; i++) budget.request()
  expect(taken()).toBeLessThanOrEqual(101)
  expect(new RetryBudget(0).take()).toBe(false)
})
