/** The house rules as tests: each failure reads `path:line: what, do this instead`. */
import { describe, expect, test } from 'vitest'
import { untoldEvents } from './tidy/activity.ts'
import { forbiddenImports, orphans } from './tidy/imports.ts'
import {
  incompleteLock,
  incompletePlugins,
  missingFiles,
  missingImageFiles,
  undocumentedCodes,
  undocumentedExits,
  wrongStatuses,
} from './tidy/project.ts'
import {
  anyTypes,
  consoleCalls,
  longFunctions,
  longLines,
  missingHeaders,
  registryAddresses,
  silentSkips,
  unfinishedWork,
  vagueNames,
} from './tidy/shape.ts'
import { brokenYaml } from './tidy/yaml.ts'

const rules: Readonly<Record<string, () => string[] | Promise<string[]>>> = {
  'imports go one way': forbiddenImports,
  'every source is imported or started by something': orphans,
  'a function fits on a screen': longFunctions,
  'a line fits beside another': longLines,
  'nothing has the type any': anyTypes,
  'only the command line and the scripts write to the console': consoleCalls,
  'a skip says why': silentSkips,
  'names say what a file holds': vagueNames,
  'every source starts with what it is': missingHeaders,
  'nothing is marked as unfinished': unfinishedWork,
  'no package registry is named': registryAddresses,
  'every plugin is listed, tested and conforms': incompletePlugins,
  'every code is documented and every documented code exists': undocumentedCodes,
  'every exit code is documented': undocumentedExits,
  'every activity event is written and provoked': untoldEvents,
  'documented statuses are the real ones': wrongStatuses,
  'package.json names files that exist': missingFiles,
  'the lock file holds every platform': incompleteLock,
  'the image copies files that exist': missingImageFiles,
  'every YAML block and every gateway.yaml loads': brokenYaml,
}

describe('tidy', () => {
  test.each(Object.entries(rules))('%s', async (_name, rule) => {
    expect((await rule()).join('\n')).toBe('')
  })
})
