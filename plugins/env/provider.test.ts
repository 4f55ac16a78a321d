/** The env provider: conformance, and what is not set. */
import { expect, test } from 'vitest'
import { providerConformance } from '../../test/conformance/provider-suite.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import env from './provider.ts'

const never = new AbortController().signal

providerConformance({
  definition: env,
  start() {
    const set = new Set<string>()
    return {
      options: {},
      put(path, fields) {
        set.add(path)
        process.env[path] = JSON.stringify(fields)
      },
      deny: { because: 'a process may see its own environment' },
      behave: { because: 'nobody is asked' },
      close() {
        for (const path of set) delete process.env[path]
      },
    }
  },
  path: (name) => `MIRRORGATE_TEST_${name}`,
  workato: { good: [], bad: ['NAME'] },
})

test('a variable that is empty is as good as none', async () => {
  process.env['MIRRORGATE_TEST_EMPTY'] = ''
  onEnd(() => delete process.env['MIRRORGATE_TEST_EMPTY'])
  const provider = env.create({})
  await expect(provider.read({ path: 'MIRRORGATE_TEST_EMPTY', key: null }, never)).rejects.toThrow(
    'the environment variable MIRRORGATE_TEST_EMPTY is not set',
  )
})
