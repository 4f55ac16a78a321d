/** Exports of the activity log: exact, safe to open in a spreadsheet, and never further than their reader. */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { beforeAll, describe, expect, test } from 'vitest'
import { ActivityExport } from '../../src/admin/activity-export.ts'
import type { ActivityLog } from '../../src/contract/activity.ts'
import { limits } from '../../src/contract/limits.ts'
import { path, someActivity, startTestLog, type TestLog } from '../support/activities.ts'
import { tokens } from '../support/admin.ts'
import { onEnd } from '../support/cleanup.ts'
import { until } from '../support/wait.ts'

const many = 20_000
const marker = 'bulk_entry'
/** About a kilobyte each: all of them are more than sockets between two processes hold. */
const bulk = Array.from({ length: 500 }, (_, at) =>
  someActivity({ event_type: marker, details: { padding: `${at} `.padEnd(1000, 'x') } }),
)

let log: TestLog

beforeAll(async () => {
  log = await startTestLog()
  for (let added = 0; added < many; added += bulk.length) await log.add(...bulk)
}, 60_000)

/** An answer whose body nobody has read yet. */
async function begin(query = ''): Promise<IncomingMessage> {
  const headers = { authorization: `Bearer ${tokens.viewer}` }
  const request = get(`${log.url}${path}/export?${query}`, { headers, agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  onEnd(() => response.destroy())
  return response
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

interface Exported {
  details: { activity: string; entries: number; complete: boolean; to: string | null }
}
const exportsNoted = async (): Promise<Exported[]> => {
  const { json } = await log.ask('GET', `${path}?include_event_types[]=activity_exported`)
  return json['data'] as Exported[]
}

describe('ndjson', () => {
  interface Line {
    id: number
    event_type: string
    prev_hash: string
    hash: string
  }
  /** What the hash of a line must be, from its bytes alone. */
  function hashOf(line: string, { id, prev_hash, hash }: Line): string {
    const payload = `${line.slice(0, -`,"prev_hash":"${prev_hash}","hash":"${hash}"}`.length)}}`
    const number = Buffer.alloc(8)
    number.writeBigUInt64BE(BigInt(id))
    return createHash('sha256')
      .update(Buffer.from(prev_hash, 'hex'))
      .update(number)
      .update(payload)
      .digest('hex')
  }

  test('holds every entry as it is chained, and a checkpoint that covers the last one', async () => {
    const response = await begin()
    expect(response.headers['content-type']).toBe('application/x-ndjson; charset=utf-8')
    expect(response.headers['content-disposition']).toBe('attachment; filename="activity-dev.ndjson"')
    const lines = (await read(response)).trimEnd().split('\n')
    const checkpointLine = lines.pop() as string
    let previous = '0'.repeat(64)
    let bulkEntries = 0
    for (const line of lines) {
      const entry = JSON.parse(line) as Line
      if (entry.prev_hash !== previous || hashOf(line, entry) !== entry.hash)
        throw new Error(`the chain is broken at ${line}`)
      previous = entry.hash
      if (entry.event_type === marker) bulkEntries += 1
    }
    expect(bulkEntries).toBe(many)

    const { signature, ...stated } = JSON.parse(checkpointLine).checkpoint as {
      signature: string
      environments: { dev: { last_hash: string; entries: number } }
    }
    expect(stated.environments.dev).toMatchObject({ last_hash: previous, entries: lines.length })
    const jwks = await log.ask('GET', `${path}/jwks.json`, { as: null })
    const key = createPublicKey({ key: (jwks.json['keys'] as object[])[0] as never, format: 'jwk' })
    const signed = Buffer.from(`mirrorgate activity checkpoint v1\n${JSON.stringify(stated)}`)
    expect(verify(null, signed, key, Buffer.from(signature, 'base64url'))).toBe(true)
  })

  test('holds what a filter leaves, and is noted in the log with who asked', async () => {
    const [id] = await log.add(someActivity({ event_type: 'only_this', user: { id: 99 } }))
    const lines = (await read(await begin('users_ids[]=99'))).trimEnd().split('\n')
    expect(lines.map((line) => (JSON.parse(line) as Line).id)).toEqual([id, undefined])
    const ofOne = async () => (await exportsNoted()).find(({ details }) => details.entries === 1)
    const noted = await until(ofOne, { what: 'the export is noted' })
    expect(noted).toMatchObject({
      user: { name: 'viewer' },
      details: { activity: 'ndjson', entries: 1, complete: true },
      resource: { name: 'dev', type: 'ActivityLog' },
    })
  })
})

describe('csv', () => {
  /** RFC 4180 §2. */
  function parseCsv(text: string): string[][] {
    const rows: string[][] = [[]]
    for (const [, quoted, plain = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
      rows.at(-1)?.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'))
      if (end === '\r\n') rows.push([])
    }
    return rows.slice(0, -1)
  }

  test('is a table whose cells are texts, whatever a spreadsheet makes of them', async () => {
    const formulas = ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '＝1', "=cmd|' /C calc'!A0"]
    const harmless = ['a,b', 'say "x"', 'two\r\nlines', "it's", '1=1', 'Jürgen ✓']
    const names = [...formulas, ...harmless]
    await log.add(
      ...names.map((name) =>
        someActivity({
          event_type: 'csv_probe',
          user: { id: -5, name, email: name },
          details: { activity: name, request: { ip_address: '192.0.2.1', user_agent: name }, more: { n: 1 } },
          resource: { id: name, name, type: 'Flow', path: name },
        }),
      ),
    )
    const response = await begin('format=csv&include_event_types[]=csv_probe')
    expect(response.headers['content-type']).toBe('text/csv; charset=utf-8; header=present')
    const [columns = [], ...rows] = parseCsv(await read(response))
    expect(columns).toEqual(
      (
        'id,timestamp,event_type,workspace_id,workspace_name,workspace_email,workspace_environment,' +
        'user_id,user_name,user_email,ip_address,user_agent,activity,details,' +
        'resource_id,resource_name,resource_type,resource,prev_hash,hash'
      ).split(','),
    )
    const cells = (row: string[]) => Object.fromEntries(columns.map((column, at) => [column, row[at]]))
    const guarded = [...formulas.map((formula) => `'${formula}`), ...harmless]
    for (const [at, row] of rows.entries()) {
      const name = guarded[at]
      expect(cells(row)).toMatchObject({
        user_id: '-5',
        user_name: name,
        user_email: name,
        user_agent: name,
        activity: name,
        resource_id: name,
        resource_name: name,
        details: '{"more":{"n":1}}',
        resource: JSON.stringify({ path: names[at] }),
      })
    }
    expect(rows).toHaveLength(names.length)
  })
})

describe('a slow reader', () => {
  test('is waited for: nothing is read ahead of it', async () => {
    let made = 0
    async function* endless(): AsyncGenerator<string> {
      for (;;) yield `{"id":${made++},${'x'.repeat(1000)}}`
    }
    const activity = { lines: endless } as unknown as ActivityLog
    const gone = new AbortController().signal
    const { stream } = new ActivityExport(activity, 'ndjson', { environment: 'dev' }, gone)
    let taken = 0
    for await (const piece of stream) {
      taken += String(piece).split('\n').length - 1
      // What it holds itself: one piece on its way, one in the making.
      expect(made - taken).toBeLessThan(300)
      if (taken > 5000) break
    }
    expect(stream.destroyed).toBe(true)
  })

  test('gets everything in the end, and others are served meanwhile', async () => {
    const noted = async () => (await exportsNoted()).filter(({ details }) => details.entries === many)
    const response = await begin(`include_event_types[]=${marker}`)
    response.pause()
    // An export that did not wait would be over, and noted, while its reader has not begun.
    for (let asked = 0; asked < 20; asked += 1) expect(await noted()).toEqual([])
    const lines = (await read(response)).trimEnd().split('\n')
    expect(lines).toHaveLength(many + 1)
    const [entry] = await until(async () => (await noted()).length > 0 && (await noted()), {
      what: 'the export is noted',
    })
    expect(entry?.details.complete).toBe(true)
  })

  test('holds one of a few places, until it leaves', async () => {
    const slow = await Promise.all(Array.from({ length: limits.activity_exports_max }, () => begin()))
    const { status, headers, json } = await log.ask('GET', `${path}/export`)
    expect([status, headers.get('retry-after')]).toEqual([429, '5'])
    expect(json['message']).toBe(`at most ${limits.activity_exports_max} exports may run at a time`)
    for (const response of slow) response.destroy()
    await until(async () => (await log.ask('GET', `${path}/export?users_ids[]=99`)).status === 200, {
      what: 'the places are free again',
    })
    const broken = async () => (await exportsNoted()).filter(({ details }) => !details.complete)
    const cut = await until(async () => (await broken()).length > 0 && (await broken()), {
      what: 'the broken exports are noted',
    })
    expect(cut.every(({ details }) => details.entries < many)).toBe(true)
  })
})

test('HEAD exports nothing', async () => {
  const day = '2001-01-01'
  const { status, text, headers } = await log.ask('HEAD', `${path}/export?to=${day}`)
  const type = 'application/x-ndjson; charset=utf-8'
  expect([status, text, headers.get('content-type')]).toEqual([200, '', type])
  expect((await exportsNoted()).filter(({ details }) => details.to === day)).toEqual([])
})
