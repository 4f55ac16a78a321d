/** Runs the tests of a plugin outside the tree, whose folder `--dir` names. */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import own from '../../vitest.config.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

export default defineConfig({
  ...own,
  test: { ...own.test, root, include: ['**/*.test.ts', '**/*.test.js'] },
})
