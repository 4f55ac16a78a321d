/** The files that a batch becomes in an object store: their names, stable and safe, and what is in them. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { objectKeyRule, type ObjectFile, uploadObjects } from '../../src/contract/object-files.ts'

type Context = Parameters<typeof uploadObjects>[1]

const never = new AbortController().signal

async function filesOf(
  lines: readonly unknown[],
  options: Partial<Context['options']> = {},
  { id = 'B', compression = 'none' as Context['compression'] } = {},
): Promise<Map<string, ObjectFile>> {
  const text = lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('')
  const batch = { id, mirror: 'audit', leg: 'activity', items: lines.length, ndjson: Buffer.from(text) }
  const origin = { environment: 'prod', workspaceId: 12 }
  const found: ObjectFile[] = []
  const context = { options: { files: 'per_event' as const, ...options }, compression, origin }
  await uploadObjects(batch, context, never, async (file) => {
    found.push(file)
  })
  const keys = found.map(({ key }) => key)
  expect(new Set(keys).size, 'no file overwrites another').toBe(keys.length)
  return new Map(found.map((file) => [file.key, file]))
}

const keysOf = async (...given: Parameters<typeof filesOf>) => [...(await filesOf(...given)).keys()]

const job = {
  id: 'j-KGAKfhsz-GYoLeD',
  recipe_id: 456,
  status: 'succeeded',
  started_at: '2022-06-14T23:59:58.000-07:00',
  completed_at: '2022-06-15T00:00:01.000-07:00',
  context: { user_id: 1234, recipe_id: 456, job_id: 'j-KGAKfhsz-GYoLeD' },
}

test('job history is named as audit log streaming names it, with the date in UTC', async () => {
  const name =
    '1234/jobs/456/20220615/j-KGAKfhsz-GYoLeD/1234-456-j-KGAKfhsz-GYoLeD-20220615070001-succeeded.json'
  expect(await keysOf([job])).toEqual([name])
  expect(await keysOf([{ type: 'job_details', ...job }])).toEqual([name])
  expect(await keysOf([{ log_message: job, source: 'x' }]), 'inside a custom message').toEqual([name])
})

test('a summary and the details of one job in a batch are two files, on every try the same', async () => {
  const both = [
    { type: 'job_summary', ...job },
    { type: 'job_details', ...job },
  ]
  const keys = await keysOf(both)
  expect(keys[1]).toBe(`${keys[0]?.replace(/\.json$/, '')}-B-1.json`)
  expect(await keysOf(both)).toEqual(keys)
})

test('other events are named by workspace, type and date, and by their place in the batch', async () => {
  const login = {
    id: 7,
    event_type: 'user_login',
    timestamp: '2024-06-18 19:17:31 UTC',
    workspace: { id: 3 },
  }
  const exchange = { id: 'a-b', ts: '2026-11-21T08:00:00.123Z', request: {}, response: { status: 201 } }
  expect(await keysOf([login, exchange, {}])).toEqual([
    '3/user_login/20240618/3-user_login-7-20240618191731-B-0.json',
    '12/exchange/20261121/12-exchange-a-b-20261121080000-B-1.json',
    '12/none/undated/12-none-B-2-undatedundated-B-2.json',
  ])
})

test('what is left of a split batch keeps the names that it had', async () => {
  const events = Array.from({ length: 4 }, (_, id) => ({ id, event_type: 't' }))
  const whole = await keysOf(events)
  expect(await keysOf(events.slice(2), {}, { id: 'B.2-4' })).toEqual(whole.slice(2))
  const rest = await keysOf(events.slice(2), { files: 'per_batch' }, { id: 'B.2-4' })
  expect(rest).toEqual(['12/audit/undated/12-audit-undatedundated-B-2.ndjson'])
})

test('every placeholder of a template is filled', async () => {
  const key =
    '{environment}/{stream}/y={year}/m={month}/d={day}/h={hour}/{type}-{status}-{collection}-{batch}-{index}'
  const event = { type: 'paid', status: 'ok', collection: 'orders', ts: '2026-01-02T03:04:05Z' }
  expect(await keysOf([event], { key })).toEqual(['prod/audit/y=2026/m=01/d=02/h=03/paid-ok-orders-B-0.json'])
})

test('hostile values make no folders, hide nothing and stay apart', async () => {
  const ids = [
    '../../etc',
    '..',
    '.hidden',
    'a/b',
    'a\\b',
    'a_b',
    'a\nb',
    'ü',
    '',
    'x'.repeat(5000),
    '💥',
    '\u0000',
  ]
  const files = await filesOf(
    ids.map((id) => ({ id })),
    { key: 'audit/{id}/{id}' },
  )
  for (const key of files.keys()) {
    expect(key).toMatch(/^audit\/[\w@+=-][\w.@+=-]*\/[\w@+=-][\w.@+=-]*\.json$/)
    expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1024)
  }
  const long = await keysOf([{ id: 'x'.repeat(5000) }], {
    key: Array.from({ length: 20 }, () => '{id}').join('/'),
  })
  expect(Buffer.byteLength(long[0] ?? '')).toBe(limits.object_key_bytes_max + '.json'.length)
})

test.each([
  ['{job_id}', 'CEF:0|x|y|1|a|b|1|'],
  ['{job_id}', { event_type: 'user_login' }],
  ['{id}', { id: '' }],
  ['{id}', { id: { of: 'another kind' } }],
  ['{job_id}', { job_id: '', context: { job_id: [] }, id: '' }],
])('events that %s cannot tell apart share no name, in one batch or in two', async (key, line) => {
  const names = await Promise.all(['B', 'C'].map((id) => keysOf([line, line], { key }, { id })))
  expect(new Set(names.flat()).size).toBe(4)
  expect(await keysOf([line, line], { key }, { id: 'B' }), 'a repeat overwrites itself').toEqual(names[0])
})

test('a file holds its line, a batch all of them; text that is no JSON says so', async () => {
  const [[, file] = []] = await filesOf([{ a: 'ü' }])
  expect([file?.body.toString(), file?.contentType]).toEqual(['{"a":"ü"}', 'application/json'])
  const cef = await filesOf(['CEF:0|x|y|1|a|b|1|'])
  expect([...cef.values()][0]).toMatchObject({
    key: expect.stringMatching(/\.txt$/),
    contentType: /^text\/plain/,
  })
  const [[, all] = []] = await filesOf([{ a: 1 }, { a: 2 }], { files: 'per_batch' })
  expect(all?.body.toString()).toBe('{"a":1}\n{"a":2}\n')
})

test('compressed files say so by their names', async () => {
  const gzip = await filesOf([{ a: 1 }], {}, { compression: 'gzip' })
  const zstd = await filesOf([{ a: 1 }], { files: 'per_batch' }, { compression: 'zstd' })
  const [[gzipKey, gzipFile] = []] = gzip
  const [[zstdKey, zstdFile] = []] = zstd
  expect(gzipKey).toMatch(/\.json\.gz$/)
  expect(zstdKey).toMatch(/\.ndjson\.zst$/)
  expect(gunzipSync(gzipFile?.body ?? '').toString()).toBe('{"a":1}')
  expect(zstdDecompressSync(zstdFile?.body ?? '').toString()).toBe('{"a":1}\n')
})

test('never more uploads at a time than allowed, and none begins after one failed', async () => {
  const lines = Array.from({ length: 100 }, (_, id) => `${JSON.stringify({ id })}\n`)
  const batch = { id: 'B', mirror: 'm', leg: 'l', items: 100, ndjson: Buffer.from(lines.join('')) }
  const context = {
    options: { files: 'per_event' },
    compression: 'none',
    origin: { environment: 'dev', workspaceId: 1 },
  } as const
  let running = 0
  let most = 0
  await uploadObjects(batch, context, never, async () => {
    running += 1
    most = Math.max(most, running)
    await new Promise(setImmediate)
    running -= 1
  })
  expect(most).toBe(limits.uploads_per_batch_max)
  let begun = 0
  let stopped = 0
  const failing = uploadObjects(batch, context, never, async ({ key }, signal) => {
    begun += 1
    if (key.includes('-0-undated')) throw new Error('the first')
    await new Promise((done) => signal.addEventListener('abort', done, { once: true }))
    stopped += 1
    throw signal.reason
  })
  await expect(failing).rejects.toThrow('the first')
  expect([begun, stopped]).toEqual([limits.uploads_per_batch_max, limits.uploads_per_batch_max - 1])
})

test.each([
  [
    '{recipe}/{id}',
    'per_event',
    'must hold known placeholders only, {recipe} is none, did you mean {recipe_id}',
  ],
  ['{id', 'per_event', 'must hold letters, digits, _ . = @ + : , - / and placeholders only'],
  ['a b/{id}', 'per_event', 'must hold letters, digits, _ . = @ + : , - / and placeholders only'],
  ['/{id}', 'per_event', 'must be names between single slashes, none of them empty, . or ..'],
  ['a/../{id}', 'per_event', 'must be names between single slashes, none of them empty, . or ..'],
  ['{id}.json', 'per_event', 'must be without the ending .json, .ndjson, .gz or .zst, which is added'],
  [
    '{date}/{type}',
    'per_event',
    'must hold {id}, {job_id}, or {batch} and {index}, or files would overwrite each other',
  ],
  [
    '{date}/{batch}',
    'per_event',
    'must hold {id}, {job_id}, or {batch} and {index}, or files would overwrite each other',
  ],
  ['{date}/{id}', 'per_batch', 'must hold {batch}, or files would overwrite each other'],
] as const)('the template %s is refused %s', (key, files, rule) => {
  expect(objectKeyRule({ key, files })).toEqual({ key: 'key', rule })
})

test('templates that can be used are', () => {
  for (const key of ['{id}', 'a/{index}-{batch}', 'dt={date}/{job_id}'])
    expect(objectKeyRule({ key, files: 'per_event' })).toBeNull()
  expect(objectKeyRule({ key: '{stream}-{batch}', files: 'per_batch' })).toBeNull()
  expect(objectKeyRule({ files: 'per_event' })).toBeNull()
})
