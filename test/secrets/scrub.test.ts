/** Texts that people read, without the values of secrets: in whatever form an error or an answer has them. */
import { expect, test } from 'vitest'
import { scrubber } from '../../src/contract/scrub.ts'
import { target } from '../conformance/target.ts'

const scrub = (...secretValues: string[]) => scrubber(target({}, { secretValues }))

test.each([
  ['p"ss\\word', 'the body was {"got":"p\\"ss\\\\word"}', 'the body was {"got":"***"}'],
  ['a b/ü%', 'GET /?token=a%20b%2F%C3%BC%25', 'GET /?token=***'],
  ['Secret.Example.COM', 'sending to secret.example.com:443: refused', 'sending to ***:443: refused'],
  ['https://h.example.com:8443/in/abc', 'sending to h.example.com:8443: refused', 'sending to ***: refused'],
  ['https://h.example.com/in/abc', 'GET /in/abc/events', 'GET ***/events'],
  ['http://user:p%40ss@proxy.example.com', 'user:p@ss', 'user:***'],
  ['http://user:p%zz@proxy.example.com', 'user:p%zz', 'user:***'],
  ['\ud800lone', 'got \ud800lone', 'got ***'],
])('%j', (secret, text, shown) => {
  expect(scrub(secret)(text)).toBe(shown)
})

test('the secret options of a sink are taken out, its other options are not', () => {
  const options = { token: 'hec-token-1', index: 'main' }
  const shown = scrubber(target({ options, secretOptions: ['token', 'missing'] }))
  expect(shown('index main refused hec-token-1')).toBe('index main refused ***')
})
