/**
 * Property: whatever the JSON and wherever it is cut, nothing of a secret under a redacted key leaves the
 * process.
 */
import { expect, test } from 'vitest'
import { Redactor } from '../../src/recorder/redact.ts'
import { bodyOf, exchangeOf, itemOf, mirrorOf, redactOf } from './sample.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const MASK = '[redacted]'
/** Occurs nowhere else in the documents, so that three characters of it are proof. */
const CANARY = 'QZX7!WVY9'
const secretNames = ['password', 'Token', 'CVV', 'client_secret', 'iban', 'käse']
const plainNames = ['a', 'id', 'name', 'passwords', 'my token', 'n"ame', 'to\\ken', 'größe', '', 'data']
const strings = [
  '',
  'x',
  'a"b',
  'c\\',
  '{"a":1}',
  '\n\t',
  'ünïcödé',
  '🔑',
  '"',
  '\\"',
  ',',
  ':',
  '}',
  ']',
  'password',
]
const json = ['iban', 'käse']

/** Mulberry32: the same documents in every run. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}

function pick<T>(from: readonly T[], next: (below: number) => number): T {
  return from[next(from.length)] as T
}

function make(next: (below: number) => number, depth: number, secret: boolean): Json {
  const kind = next(depth > 3 ? 4 : 7)
  if (kind === 0) return pick([null, true, false, 0, -1.5, 1e21], next)
  if (kind <= 3) return secret ? CANARY.repeat(1 + next(2)) : pick(strings, next)
  if (kind === 4) return Array.from({ length: next(4) }, () => make(next, depth + 1, secret))
  const names = Array.from({ length: next(5) }, () => pick(next(3) === 0 ? secretNames : plainNames, next))
  return Object.fromEntries(
    names.map((name) => [name, make(next, depth + 1, secret || secretNames.includes(name))]),
  )
}

/** JSON text with white space and escapes where they are allowed. */
function write(value: Json, next: (below: number) => number): string {
  const space = () => pick(['', '', '', ' ', '\n', '\r\n\t'], next)
  const key = (name: string) =>
    next(3) === 0 ? escapeSome(JSON.stringify(name), next) : JSON.stringify(name)
  if (Array.isArray(value)) return `[${value.map((item) => space() + write(item, next) + space()).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([name, item]) => `${space()}${key(name)}${space()}:${space()}${write(item, next)}${space()}`,
  )
  return `{${members.join(',')}}`
}

function escapeSome(quoted: string, next: (below: number) => number): string {
  return quoted.replace(/(?<!\\)[a-zä]/gi, (character) => {
    const hex = character.charCodeAt(0).toString(16).padStart(4, '0')
    return pick([character, `\\u${hex}`, `\\u${hex.toUpperCase()}`], next)
  })
}

function expected(value: Json, mode: 'mask' | 'remove'): Json {
  if (Array.isArray(value)) return value.map((item) => expected(item, mode))
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).flatMap(([name, item]): [string, Json][] => {
    if (!secretNames.includes(name)) return [[name, expected(item, mode)]]
    return mode === 'mask' ? [[name, MASK]] : []
  })
  return Object.fromEntries(members)
}

/** What a collector could read of a body. */
function bodyAfter(redactor: Redactor, bytes: Buffer): string {
  const result = redactor.body(bytes, true, 'application/json')
  if (result.kind === 'not_redactable') return ''
  return result.kind === 'text' ? result.text : bytes.toString('utf8')
}

const pieces = Array.from({ length: CANARY.length - 2 }, (_, at) => CANARY.slice(at, at + 3))

function leaks(text: string): string | undefined {
  return pieces.find((piece) => text.includes(piece))
}

test.each(['mask', 'remove'] as const)(
  '%s: a whole document is the same document without the values',
  (mode) => {
    const redactor = new Redactor({ ...mirrorOf().redact, mode, jsonFields: json })
    for (let seed = 0; seed < 1500; seed++) {
      const next = random(seed)
      const value = make(next, 0, false)
      const text = write(value, next)
      const after = bodyAfter(redactor, Buffer.from(text))
      expect(leaks(after), text).toBeUndefined()
      expect(JSON.parse(after), text).toEqual(expected(value, mode))
    }
  },
)

test.each(['mask', 'remove'] as const)(
  '%s: cut after every character, nothing of a secret is left',
  (mode) => {
    for (const jsonFields of [json, [...json, '/a/0', '/data/id']]) {
      const redactor = new Redactor({ ...mirrorOf().redact, mode, jsonFields })
      for (let seed = 0; seed < 120; seed++) {
        const next = random(seed)
        const text = write(
          { first: make(next, 0, false), password: CANARY, last: [{ iban: [CANARY, { x: CANARY }] }] },
          next,
        )
        for (let end = 0; end <= text.length; end++) {
          const after = bodyAfter(redactor, Buffer.from(text.slice(0, end)))
          expect(leaks(after), text.slice(0, end)).toBeUndefined()
        }
      }
    }
  },
)

test('cut after every byte by the cap of the mirror, the item is as clean', () => {
  const text = `{"ö":"ä🔑","käse":"${CANARY}","list":[{"token":{"x":"${CANARY}"}}],"end":"ü"}`
  const requestBody = bodyOf(text)
  const redact = redactOf({ jsonFields: json })
  for (let bodyBytes = 0; bodyBytes <= requestBody.size; bodyBytes++) {
    const { request } = itemOf('request', exchangeOf({ requestBody }), { ...redact, bodyBytes })
    expect(leaks(request.body ?? '')).toBeUndefined()
    expect(request.omitted).toBeUndefined()
    expect(request.truncated).toBe(bodyBytes < requestBody.size)
    expect(request.body_encoding).toBe(bodyBytes === 0 ? 'none' : 'utf8')
  }
})
