/** Which collection a host and a path belong to. */
import { describe, expect, test } from 'vitest'
import { hostName, normalPath, Router, upstreamTarget } from '../../src/proxy/route.ts'

const collection = (name: string, prefix: string, hosts: string[] = [], strip_prefix = false) => ({
  name,
  prefix,
  hosts,
  strip_prefix,
})
const routes = [
  collection('root', '/'),
  collection('orders', '/orders'),
  collection('archive', '/orders/archive/'),
  collection('api', '/', ['api.example.com']),
  collection('api-v2', '/v2', ['api.example.com']),
  collection('wild', '/w', ['*.example.com']),
  collection('cut', '/cut', [], true),
]
const router = new Router(routes)

describe('find', () => {
  test.each([
    ['other', '/', 'root'],
    ['other', '/orders', 'orders'],
    ['other', '/orders/1', 'orders'],
    ['other', '/ordersx', 'root'],
    ['other', '/orders/archive', 'orders'],
    ['other', '/orders/archive/', 'archive'],
    ['other', '/orders/archive/1', 'archive'],
    ['api.example.com', '/v2/x', 'api-v2'],
    ['api.example.com', '/orders', 'api'],
    ['a.b.example.com', '/w', 'wild'],
    ['a.example.com', '/orders', 'orders'],
    ['example.com', '/w', 'root'],
  ])('%s %s belongs to %s', (host, path, name) => {
    expect(router.find(host, path)?.name).toBe(name)
  })

  test('nothing matches when no collection is for any host', () => {
    expect(new Router([collection('api', '/', ['a.test'])]).find('b.test', '/')).toBeNull()
  })
})

describe('a path that another reader could take for another one', () => {
  test.each([
    '/orders/../x',
    '/%6frders',
    '/x/..%2forders',
    '//orders',
    '/x/../orders',
    '/x\\..\\orders',
    '/./orders',
    '/orders;x/1',
    '/orders%3bx',
    '/;x/orders',
    '/x/..;/orders',
    '/x;\\..;y\\..\\orders',
    '/orders/..;/x',
  ])('%s is refused where it would change the collection', (path) => {
    expect(router.route('other', path)).toBe('ambiguous')
  })
  test.each(['/orders/%2e%2e', '/orders/a%2fb', '/orders//x', '/orders/a/../b', '/orders/%7Euser'])(
    '%s is judged by what it means',
    (path) => {
      const expected = router.find('other', normalPath(path)) === router.find('other', path)
      expect(router.route('other', path)).toBe(expected ? routes[1] : 'ambiguous')
    },
  )
  test.each(['/orders/1;a=b', '/orders/;', '/orders/a;b/c', '/orders/x/..;/1'])(
    '%s stays where it is',
    (path) => {
      expect(router.route('other', path)).toBe(routes[1])
    },
  )
  test('with strip_prefix only normal paths pass', () => {
    expect(router.route('other', '/cut/a')).toBe(routes[6])
    expect(router.route('other', '/cut/caf%C3%A9')).toBe(routes[6])
    expect(router.route('other', '/cut/a;b=c')).toBe(routes[6])
    expect(router.route('other', '/cut//evil.test')).toBe('ambiguous')
    expect(router.route('other', '/cut/a%2fb')).toBe('ambiguous')
  })
})

test.each([
  ['/', '/'],
  ['/a/./b', '/a/b'],
  ['/a/../b', '/b'],
  ['/../..', '/'],
  ['/a/..', '/'],
  ['/a//b/', '/a/b/'],
  ['/%61%2F%2e%2e', '/'],
  ['/a%20b', '/a%20b'],
  ['/%zz', '/%zz'],
])('%s in normal form is %s', (path, normal) => {
  expect(normalPath(path)).toBe(normal)
})

test.each([
  ['Example.COM', 'example.com'],
  ['example.com:8080', 'example.com'],
  ['example.com.', 'example.com'],
  ['example.com.:80', 'example.com'],
  ['[::1]', '[::1]'],
  ['[::1]:80', '[::1]'],
])('the name of %s is %s', (host, name) => {
  expect(hostName(host)).toBe(name)
})

test.each([
  ['/cut/a?b=1', '/a?b=1'],
  ['/cut', '/'],
  ['/cut?b=1', '/?b=1'],
])('%s goes on as %s', (target, expected) => {
  expect(upstreamTarget(target, collection('cut', '/cut', [], true))).toBe(expected)
  expect(upstreamTarget(target, collection('cut', '/cut'))).toBe(target)
})
test('a prefix that ends with a slash keeps it', () => {
  expect(upstreamTarget('/cut/a', collection('cut', '/cut/', [], true))).toBe('/a')
})
