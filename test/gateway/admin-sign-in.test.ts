/** Tokens: who is let in, what guessing costs, and where the generated one lives. */
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { addressKey, GuessFlood, Lockout } from '../../src/admin/lockout.ts'
import { limits } from '../../src/contract/limits.ts'
import { adminConfig, FakeCommands, startTestAdmin, tokens } from '../support/admin.ts'
import { tempDir } from '../support/files.ts'

const bearer = (token: string) => ({ as: null, headers: { authorization: `Bearer ${token}` } })

/** The status of a request that comes from another address of this machine. */
function statusFrom(localAddress: string, port: number, token: string): Promise<number | undefined> {
  const headers = { authorization: `Bearer ${token}` }
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/api/status', localAddress, headers }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode))
    }).once('error', reject)
  })
}

test('the scheme may be written in any case; anything else than a known token is 401', async () => {
  const { ask } = await startTestAdmin()
  const status = async (authorization: string) =>
    (await ask('GET', '/api/status', { as: null, headers: { authorization } })).status
  expect(await status(`bEaReR ${tokens.viewer}`)).toBe(200)
  expect(await status(`Bearer   ${tokens.viewer} `)).toBe(200)
  for (const wrong of [
    tokens.viewer,
    `Basic ${tokens.viewer}`,
    'Bearer',
    `Bearer ${tokens.viewer}x`,
    `Bearer ${tokens.viewer.slice(0, -1)}`,
    `Bearer ${tokens.viewer.toUpperCase()}`,
    `Bearer ${tokens.viewer} ${tokens.admin}`,
  ]) {
    expect([wrong, await status(wrong)]).toEqual([wrong, 401])
  }
})

test('a reload of the clients holds from the next request on', async () => {
  const { ask, commands } = await startTestAdmin()
  expect((await ask('GET', '/api/status', { as: 'viewer' })).status).toBe(200)
  commands.adminConfig = adminConfig({ clients: [{ name: 'new', role: 'admin', token: 'another-token' }] })
  expect((await ask('GET', '/api/status', { as: 'viewer' })).status).toBe(401)
  expect((await ask('GET', '/api/status', bearer('another-token'))).status).toBe(200)
})

describe('guessing', () => {
  test('locks the address for a while, also for a right token, but not the open routes', async () => {
    const { ask, logged } = await startTestAdmin()
    for (let count = 0; count < limits.sign_in_failures_per_minute; count += 1) {
      expect((await ask('GET', '/api/status', bearer(`guess-${count}`))).status).toBe(401)
    }
    const locked = await ask('GET', '/api/status', { as: 'admin' })
    expect(locked.status).toBe(429)
    const seconds = Number(locked.headers.get('retry-after'))
    expect(seconds).toBeGreaterThan(0)
    expect(seconds).toBeLessThanOrEqual(60)
    expect(locked.json.message).toContain('it is locked, also for a right token')
    expect((await ask('GET', '/api/status', { as: null })).status).toBe(429)
    for (const path of ['/healthz', '/readyz', '/metrics']) {
      expect((await ask('GET', path, { as: null })).status).toBe(200)
    }
    expect(logged().match(/address locked/g)).toHaveLength(1)
  })

  test('does not count requests that show no token at all', async () => {
    const { ask } = await startTestAdmin()
    for (let count = 0; count <= limits.sign_in_failures_per_minute; count += 1) {
      expect((await ask('GET', '/api/status', { as: null })).status).toBe(401)
    }
    expect((await ask('GET', '/api/status')).status).toBe(200)
  })

  test('is forgotten when the minute is over', () => {
    const lockout = new Lockout()
    for (let count = 0; count < limits.sign_in_failures_per_minute; count += 1)
      lockout.fail('192.0.2.1', 1000)
    expect(lockout.waitMs('192.0.2.1', 1000)).toBe(60_000)
    expect(lockout.waitMs('192.0.2.2', 1000)).toBe(0)
    expect(lockout.waitMs('192.0.2.1', 60_999)).toBe(1)
    expect(lockout.waitMs('192.0.2.1', 61_000)).toBe(0)
    expect(lockout.fail('192.0.2.1', 61_000)).toBe(false)
    expect(lockout.waitMs('192.0.2.1', 61_000)).toBe(0)
  })

  test('from ever new addresses fills no memory, and forgets the oldest first', () => {
    const lockout = new Lockout()
    const fail = (address: string) => {
      for (let count = 0; count < limits.sign_in_failures_per_minute; count += 1) lockout.fail(address, 0)
    }
    fail('first')
    fail('second')
    for (let index = 0; index < limits.sign_in_addresses_max - 1; index += 1)
      lockout.fail(`other-${index}`, 0)
    expect(lockout.waitMs('first', 0)).toBe(0)
    expect(lockout.waitMs('second', 0)).toBe(60_000)
  })

  test('from many addresses at once keeps out those that never signed in, and no others', () => {
    const flood = new GuessFlood()
    flood.succeed('192.0.2.1')
    const most = limits.sign_in_failures_per_minute_all
    for (let count = 1; count < most; count += 1) expect(flood.fail(1000)).toBe(false)
    expect(flood.waitMs('192.0.2.2', 1000)).toBe(0)
    expect(flood.fail(1000)).toBe(true)
    expect([flood.waitMs('192.0.2.1', 1000), flood.waitMs('192.0.2.2', 1000)]).toEqual([0, 60_000])
    expect([flood.waitMs('192.0.2.2', 60_999), flood.waitMs('192.0.2.2', 61_000)]).toEqual([1, 0])
    expect(flood.fail(61_000)).toBe(false)
    expect(flood.waitMs('192.0.2.2', 61_000)).toBe(0)
    for (let index = 0; index < limits.sign_in_known_addresses_max; index += 1)
      flood.succeed(`198.51.100.${index}`)
    for (let count = 1; count < most; count += 1) flood.fail(61_000)
    expect(flood.waitMs('192.0.2.1', 61_000)).toBe(60_000)
  })

  test('from many addresses is no faster than from a few', async () => {
    const { ask, port, logged } = await startTestAdmin()
    expect((await ask('GET', '/api/status')).status).toBe(200)
    const each = limits.sign_in_failures_per_minute - 1
    const addresses = Math.ceil(limits.sign_in_failures_per_minute_all / each)
    for (let at = 0; at < addresses; at += 1) {
      const from = `127.0.1.${at + 1}`
      for (let count = 0; count < each; count += 1) await statusFrom(from, port, 'a-guess-at-a-token')
    }
    expect(await statusFrom('127.0.2.1', port, tokens.admin)).toBe(429)
    expect((await ask('GET', '/api/status')).status).toBe(200)
    expect(logged()).toContain('new addresses locked')
  })

  test('counts all addresses of one IPv6 network as one', () => {
    expect(addressKey('::ffff:192.0.2.1')).toBe('192.0.2.1')
    expect(addressKey('2001:db8:1:2:3:4:5:6')).toBe(addressKey('2001:db8:1:2::1'))
    expect(addressKey('2001:db8::1')).toBe('2001:db8:0:0')
    expect(addressKey('2001:db8:1:2::1')).not.toBe(addressKey('2001:db8:1:3::1'))
    expect(addressKey('::1')).toBe('0:0:0:0')
    expect(addressKey('fe80::1%eth0')).toBe('fe80:0:0:0')
  })
})

describe('without clients in the configuration', () => {
  const without = () => {
    const commands = new FakeCommands()
    commands.adminConfig = adminConfig({ clients: [] })
    return commands
  }

  test('one admin token is made, for its owner only, and its path is logged', async () => {
    const folder = join(await tempDir(), 'data')
    const { ask, logged } = await startTestAdmin(without(), folder)
    const file = join(folder, 'admin-token')
    const token = (await readFile(file, 'utf8')).trim()
    expect(token).toMatch(/^[\w-]{43}$/)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    expect((await ask('POST', '/api/config/reload', bearer(token))).status).toBe(200)
    expect((await ask('GET', '/api/status', { as: 'admin' })).status).toBe(401)
    expect(logged()).toContain(file)
    expect(logged()).not.toContain(token)
  })

  test('it is kept over restarts, and closed to others when it was open', async () => {
    const folder = await tempDir()
    const file = join(folder, 'admin-token')
    const token = 'a-token-that-was-made-by-an-earlier-start-1'
    await writeFile(file, `${token}\n`)
    await chmod(file, 0o644)
    const { ask } = await startTestAdmin(without(), folder)
    expect((await ask('GET', '/api/status', bearer(token))).status).toBe(200)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readFile(file, 'utf8')).toBe(`${token}\n`)
  })

  test.for(['', '\n', 'short', 'two words that are long enough to be a token'])(
    'a file that holds no token (%j) is written anew',
    async (content) => {
      const folder = await tempDir()
      const file = join(folder, 'admin-token')
      await writeFile(file, content)
      const { ask } = await startTestAdmin(without(), folder)
      const token = (await readFile(file, 'utf8')).trim()
      expect(token).toHaveLength(43)
      expect((await ask('GET', '/api/status', bearer(token))).status).toBe(200)
    },
  )

  test('a file that cannot be made stops the start and says what to do', async () => {
    const folder = await tempDir()
    await mkdir(join(folder, 'admin-token'))
    await expect(startTestAdmin(without(), folder)).rejects.toThrow(
      /^cannot read or write the admin token .*: make it accessible, or configure admin\.clients$/,
    )
  })

  test('it loses its force once clients are configured', async () => {
    const folder = await tempDir()
    const commands = without()
    const { ask } = await startTestAdmin(commands, folder)
    const token = (await readFile(join(folder, 'admin-token'), 'utf8')).trim()
    commands.adminConfig = adminConfig()
    expect((await ask('GET', '/api/status', bearer(token))).status).toBe(401)
    expect((await ask('GET', '/api/status')).status).toBe(200)
  })
})
