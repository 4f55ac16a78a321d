/** Queries with brackets: every way to write them that clients have, and nothing that breaks the parser. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { parseQuery, typedQuery, UnreadableQuery } from '../../src/admin/query.ts'

const properties = {
  page: { type: 'integer' },
  'page[size]': { type: 'integer' },
  'users_ids[]': { type: 'array', items: { type: 'integer' } },
  'sort_by[]': { type: 'array', items: { type: 'string' } },
  'q[handle_in]': { type: 'array', items: { type: 'string' } },
  'q[only_assigned]': { type: 'boolean' },
  from: { type: 'string' },
}
const read = (text: string) => typedQuery(parseQuery(text), properties)

describe('a query is read as its schema means it', () => {
  test.for<[string, Record<string, unknown>]>([
    ['', {}],
    ['page=2', { page: 2 }],
    ['page[size]=3', { 'page[size]': 3 }],
    ['page%5Bsize%5D=3', { 'page[size]': 3 }],
    ['page%5bsize%5d=3', { 'page[size]': 3 }],
    ['page[size]=1e999', { 'page[size]': '1e999' }],
    ['page[size]=9999999999999999', { 'page[size]': '9999999999999999' }],
    ['users_ids[]=1&users_ids[]=2', { 'users_ids[]': [1, 2] }],
    ['users_ids[]=1', { 'users_ids[]': [1] }],
    ['users_ids=1', { 'users_ids[]': [1] }],
    ['users_ids=1&users_ids=2', { 'users_ids[]': [1, 2] }],
    ['users_ids[0]=1&users_ids[1]=2', { 'users_ids[]': [1, 2] }],
    ['users_ids[]=1,2', { 'users_ids[]': ['1,2'] }],
    ['users_ids[]=x&users_ids[]=2', { 'users_ids[]': ['x', 2] }],
    ['sort_by[]=title&sort_by[]=1', { 'sort_by[]': ['title', '1'] }],
    ['q[handle_in]=a', { 'q[handle_in]': ['a'] }],
    ['q[handle_in][]=a&q[handle_in][]=b', { 'q[handle_in]': ['a', 'b'] }],
    ['q[only_assigned]=true', { 'q[only_assigned]': true }],
    ['q[only_assigned]=1', { 'q[only_assigned]': '1' }],
    ['from=2024-06-30T00:00:00+02:00', { from: '2024-06-30T00:00:00 02:00' }],
    ['from=a&from=b', { from: ['a', 'b'] }],
    ['from', { from: '' }],
    ['from=J%C3%BCrgen%20%26+x', { from: 'Jürgen & x' }],
    ['from=%zz', { from: '%zz' }],
    ['other[a][b]=1', { 'other[a][b]': '1' }],
    ['page.size=1', { 'page.size': '1' }],
    ['toString=1', { toString: '1' }],
    ['constructor[prototype][x]=1', { 'constructor[prototype][x]': '1' }],
  ])('%s', ([text, values]) => {
    expect(Object.entries(read(text))).toEqual(Object.entries(values))
  })

  test('the name of every prototype is an unknown parameter like any other', () => {
    for (const name of ['__proto__', 'page[__proto__]', '__proto__[x]']) {
      expect(Object.keys(parseQuery(`${name}=1`))).toEqual([name])
    }
    expect(Object.prototype).not.toHaveProperty('x')
  })
})

test.for([
  ['more parameters than may be', 'a=1&'.repeat(limits.query_parameters_max)],
  ['more values of one', Array.from({ length: limits.query_parameters_max + 1 }, () => 'a[]=1').join('&')],
  ['an index beyond it', `a[${limits.query_parameters_max}]=1`],
  ['brackets that are too deep', 'a[b][c][d][e][f]=1'],
] as const)('%s: the query cannot be read, and nothing is thrown', ([, text]) => {
  expect(parseQuery(text)).toBeInstanceOf(UnreadableQuery)
})

/** Repeatable: a failure names its text. */
function* texts(count: number): Generator<string> {
  const parts = [
    ...[
      'page',
      'users_ids',
      '[',
      ']',
      '[]',
      '[size]',
      '[0]',
      '[1000]',
      '[-1]',
      '=',
      '==',
      '&',
      '&&',
      '?',
      '#',
    ],
    ...[
      '%5B',
      '%5D',
      '%5b%5d',
      '%',
      '%0',
      '%00',
      '%zz',
      '%E0%A4',
      '%ff',
      '+',
      '.',
      ',',
      ';',
      '1',
      '-1',
      '1e9',
    ],
    ...[
      '__proto__',
      'constructor',
      'prototype',
      'hasOwnProperty',
      'length',
      'toString',
      '"',
      "'",
      '\\',
      'ü',
      '\ud800',
    ],
  ]
  let state = 42
  const next = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % below
  }
  for (let made = 0; made < count; made += 1) {
    yield Array.from({ length: next(30) }, () => parts[next(parts.length)] as string).join('')
  }
}

test('no text throws, makes anything but flat values, or touches a prototype', () => {
  const before = Object.getOwnPropertyNames(Object.prototype).join()
  for (const text of texts(20_000)) {
    const parsed = parseQuery(text)
    if (parsed instanceof UnreadableQuery) continue
    for (const [name, value] of Object.entries(typedQuery(parsed, properties))) {
      const isFlat = typeof value !== 'object' || Array.isArray(value)
      if (!isFlat) throw new Error(`${JSON.stringify(text)} gives ${name} an object`)
    }
  }
  expect(Object.getOwnPropertyNames(Object.prototype).join()).toBe(before)
})
