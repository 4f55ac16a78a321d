/** How the tests run: in processes of their own, since they start threads and lower priorities. */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: {
    // The same file that Node's self-reference names, so that there is one copy of its classes.
    alias: { 'mirrorgate/plugin': fileURLToPath(new URL('./src/contract/plugin.ts', import.meta.url)) },
  },
  test: {
    include: ['test/**/*.test.ts', 'plugins/**/*.test.ts'],
    pool: 'forks',
    // What a test opened is closed at its end, so files can follow each other in one process.
    isolate: false,
    setupFiles: ['test/support/each-file.ts'],
    // Whole gateways with several threads each: more files at once only slow each other down; fewer leave
    // cores idle, since many tests wait.
    maxWorkers: Math.max(3, Math.min(4, availableParallelism() - 1)),
    // Hundreds of gateways are started; with their code compiled once each start takes half of the CPU time.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('./node_modules/.cache/compile', import.meta.url)) },
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    passWithNoTests: false,
  },
})
