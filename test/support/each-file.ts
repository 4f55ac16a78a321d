/** Runs with every test file: modules load once for many files, so a hook in one serves the first only. */
import { afterAll } from 'vitest'
import { endFile } from './cleanup.ts'

afterAll(endFile)
