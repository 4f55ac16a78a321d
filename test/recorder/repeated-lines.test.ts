/** Lines that repeat those of the exchange before are not written anew: nobody can see that in an item. */
import { describe, expect, test } from 'vitest'
import type { CapturedExchange } from '../../src/contract/exchange.ts'
import type { RecordMirror } from '../../src/contract/tasks.ts'
import { SlabReader } from '../../src/queue/slab-reader.ts'
import { ItemEncoder } from '../../src/recorder/encode.ts'
import { ItemBuffer } from '../../src/recorder/item-buffer.ts'
import { type Random, randomOf } from '../support/random.ts'
import { sealedOf, slabWith } from '../support/slab.ts'
import { exchangeOf, itemText, mirrorOf, redactOf } from './sample.ts'

type Rules = Pick<RecordMirror, 'redact'>

/** Their items by one encoder, as a recorder has it. */
function inTurn(exchanges: readonly CapturedExchange[], rules: Rules): string[] {
  const { slab, used } = slabWith(exchanges.map(sealedOf))
  const record = new SlabReader(slab, used)
  const encoder = new ItemEncoder(mirrorOf(rules))
  return exchanges.map((_, turn) => {
    record.next()
    const item = new ItemBuffer()
    encoder.item(record, 'exchange', turn, item)
    return item.bytes.toString('utf8', 0, item.length)
  })
}

function expectTheSame(exchanges: readonly CapturedExchange[], rules: Rules): void {
  const alone = exchanges.map((exchange) => itemText('exchange', exchange, rules))
  expect(inTurn(exchanges, rules)).toEqual(alone)
}

const withHeaders = (...lists: readonly (readonly string[])[]): CapturedExchange[] =>
  lists.map((list) => exchangeOf({ requestHeaders: list, responseHeaders: list, responseTrailers: list }))

const modes: readonly [string, Rules][] = [
  ['mask', redactOf({})],
  ['remove', redactOf({ mode: 'remove' })],
  ['hash', redactOf({ mode: 'hash', hashKey: 'k'.repeat(32) })],
  ['detectors', redactOf({ detect: ['email', 'card_number'] })],
  ['a header that says more than its value', redactOf({ headers: ['content-type', 'traceparent'] })],
]

const lines: readonly (readonly [string, string])[] = [
  ['Host', 'api.example.com'],
  ['x', ''],
  ['X-Short', 'a'],
  ['X-Short', 'ab'],
  ['X-Quoted', '"a\\b"\t\xfc'],
  ['Content-Type', 'application/json'],
  ['Content-Type', 'text/plain'],
  ['content-encoding', 'identity'],
  ['traceparent', '00-1-2-01'],
  ['traceparent', '00-1-3-01'],
  ['Authorization', 'Bearer canary'],
  ['Authorization', 'Bearer another'],
  ['Cookie', 'session=canary'],
  ['Referer', 'https://example.com/?token=canary&page=2'],
  ['X-Mail', 'ada@example.com'],
  ['X-Long', 'l'.repeat(244)],
  ['X-Long', 'l'.repeat(245)],
  ['X-Longer', '"'.repeat(250)],
]

/** A list as the next request may have it: the same, or with a line more, less or changed. */
function next(list: readonly (readonly [string, string])[], random: Random) {
  const changed = [...list]
  const place = random.below(changed.length + 1)
  const [gone, come] = random.pick([
    [0, 1],
    [1, 0],
    [1, 1],
    [0, 0],
  ] as const)
  changed.splice(place, gone, ...lines.slice(0, come).map(() => random.pick(lines)))
  return changed.slice(0, 30)
}

describe.each(modes)('%s', (_mode, rules) => {
  test('lists that change by a line from one exchange to the next', () => {
    const random = randomOf(11)
    const exchanges: CapturedExchange[] = []
    let [sent, answered]: (readonly (readonly [string, string])[])[] = [lines, lines]
    for (let at = 0; at < 400; at++) {
      sent = next(sent as typeof lines, random)
      answered = next(answered as typeof lines, random)
      exchanges.push(exchangeOf({ requestHeaders: sent.flat(), responseHeaders: answered.flat() }))
    }
    expectTheSame(exchanges, rules)
  })

  test('lists with more lines than are kept', () => {
    const many = Array.from({ length: 60 }, (_, at) => [`X-${at}`, String(at)]).flat()
    expectTheSame(withHeaders(many, many, [...many, 'Cookie', 'session=canary'], many), rules)
  })

  test('a first line without a pair, then one with', () => {
    const cookie = ['Cookie', 'session=canary']
    const plain = ['Host', 'a', 'X-Short', 'b']
    expectTheSame(withHeaders([...cookie, ...plain], [...cookie, ...plain], plain, cookie, [], plain), rules)
  })
})

test('a line is not taken for one that it only begins with, or that begins with it', () => {
  const lists = ['a', 'ab', 'abc', 'abcd', 'abcde', 'abcd', 'abc', 'ab', 'a', ''].map((value) => ['N', value])
  expectTheSame(withHeaders(...lists), redactOf({}))
})
