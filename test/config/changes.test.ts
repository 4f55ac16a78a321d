/** What differs between two configurations is named as people do, and shows nothing that may be a secret. */
import { expect, test } from 'vitest'
import { changesBetween, referencedTexts } from '../../src/config/changes.ts'

const configOf = (sections: object) => ({ generation: 1, hash: 'a', ...sections })
const between = (before: object, after: object, referenced?: ReadonlySet<string>) =>
  changesBetween(configOf(before), configOf(after), referenced)

test('things are known by their names: moving them in their list is no change', () => {
  const [a, b] = [
    { name: 'a', prefix: '/a' },
    { name: 'b', prefix: '/b' },
  ]
  expect(between({ collections: [a, b] }, { collections: [b, a], generation: 2, hash: 'b' })).toEqual([])
  expect(between({ collections: [a] }, { collections: [{ ...a, prefix: '/c' }, b] })).toEqual([
    { path: 'collections[a].prefix', from: '/a', to: '/c' },
    { path: 'collections[b]', to: true },
  ])
  expect(between({ collections: [a, b] }, { collections: [a] })).toEqual([
    { path: 'collections[b]', from: true },
  ])
})

test("a sink's own keys stand beside the common ones, and what the gateway derives is left out", () => {
  const mirror = {
    name: 'm',
    options: { format: 'har', key: 'one' },
    legs: [{ name: 'requests' }],
    item_format: 'pair',
  }
  const other = { ...mirror, options: { format: 'akto', key: 'two' }, legs: [], item_format: 'exchange' }
  expect(between({ mirrors: [mirror] }, { mirrors: [other] })).toEqual([
    { path: 'mirrors[m].format', from: 'har', to: 'akto' },
    // What a plugin calls a key says nothing about what it holds.
    { path: 'mirrors[m].key', from: '***', to: '***' },
  ])
})

test("a stream's message is the user's, a mirror's is made from its template", () => {
  const message = { template: '{}', name: 'one' }
  const mirror = { name: 'one', message, secret_options: ['token'] }
  const other = { name: 'one', message: { ...message, name: 'o' }, secret_options: [] }
  expect(between({ mirrors: [mirror] }, { mirrors: [other] })).toEqual([])
  expect(changesBetween(mirror, other, new Set(), 'mirrors')).toEqual([])
  const [was, is] = [
    { name: 's', message: 'a' },
    { name: 's', message: 'b' },
  ]
  const changed = { from: '***', to: '***' }
  expect(between({ streams: [was] }, { streams: [is] })).toEqual([{ path: 'streams[s].message', ...changed }])
  expect(changesBetween(was, is, new Set(), 'streams')).toEqual([{ path: 'message', ...changed }])
})

test('nothing is left out for a name that the gateway gives to what it derives elsewhere', () => {
  const of = (prefix: string) => ({ collections: [{ name: 'legs', prefix, hash: prefix }] })
  expect(between(of('/a'), of('/b')).map(({ path }) => path)).toEqual([
    'collections[legs].prefix',
    'collections[legs].hash',
  ])
  const sink = (message: string) => ({ mirrors: [{ name: 'm', options: { message } }] })
  expect(between(sink('a'), sink('b'))).toEqual([{ path: 'mirrors[m].message', from: '***', to: '***' }])
})

test('a text is shown only under a key that is known to hold no secret; numbers and switches are', () => {
  const before = { any: { thing: 'a', level: 'info', count: 1, on: true, none: null } }
  const after = { any: { thing: 'b', level: 'warn', count: 2, on: false, none: 'x' } }
  expect(between(before, after)).toEqual([
    { path: 'any.thing', from: '***', to: '***' },
    { path: 'any.level', from: 'info', to: 'warn' },
    { path: 'any.count', from: 1, to: 2 },
    { path: 'any.on', from: true, to: false },
    { path: 'any.none', from: null, to: '***' },
  ])
})

test('nothing in headers, tokens and secrets is shown, whatever its key is called', () => {
  const of = (value: unknown) => ({
    connections: [{ name: 'c', headers: { name: value, level: [value] }, tls: { name: value } }],
    secrets: { name: value },
  })
  for (const change of between(of('s3cret-1'), of('s3cret-2')))
    expect(change).toMatchObject({ from: '***', to: '***' })
  expect(between(of('s3cret-1'), of('s3cret-2'))).toHaveLength(4)
})

test('of a URL only where it leads is shown', () => {
  const of = (key: string) => ({
    mirrors: [{ name: 'm', options: { url: `https://u:${key}@x:1/${key}?k=${key}` } }],
  })
  expect(between(of('one'), of('two'))).toEqual([
    { path: 'mirrors[m].url', from: 'https://x:1', to: 'https://x:1' },
  ])
})

test('what stands for a reference is hidden, alone and within other texts, before and after', () => {
  const raw = new Map([
    ['/collections/0/prefix', '/${env:A}'],
    ['/collections/0/upstreams', 'gone'],
  ])
  const referenced = referencedTexts({ effective: { collections: [{ prefix: '/hidden' }] }, raw })
  expect([...referenced]).toEqual(['/hidden'])
  const of = (prefix: string, name: string) => ({ collections: [{ name: 'a', prefix, hash_key: name }] })
  expect(between(of('/hidden', 'x/hidden/y'), of('/shown', 'z'), referenced)).toEqual([
    { path: 'collections[a].prefix', from: '***', to: '/shown' },
    { path: 'collections[a].hash_key', from: '***', to: 'z' },
  ])
})
