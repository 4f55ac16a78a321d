/** Rules about what belongs together: plugins and tests, codes and their page, scripts and files. */
import { dropReasons, gatewayErrors } from '../../src/contract/errors.ts'
import { sharedByPlugins } from './imports.ts'
import { complaint, exists, lineOf, paths, read } from './tree.ts'

interface Manifest {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string>>
  readonly files: readonly string[]
  readonly scripts: Readonly<Record<string, string>>
}

export function incompletePlugins(): string[] {
  const names = new Set(paths.flatMap((path) => /^plugins\/([^/]+)\//.exec(path)?.[1] ?? []))
  const list = exists('plugins/index.ts') ? read('plugins/index.ts') : ''
  const plugins = [...names].filter((name) => !sharedByPlugins.includes(`plugins/${name}/`))
  return plugins.flatMap((name) => {
    const own = paths.filter((path) => path.startsWith(`plugins/${name}/`))
    const tests = own.filter((path) => path.endsWith('.test.ts'))
    const found = []
    if (!own.some((path) => /\/(sink|provider)\.ts$/.test(path)))
      found.push('has no sink.ts or provider.ts, add it')
    if (tests.length === 0) found.push('has no test, add one that runs the conformance suite')
    else if (!tests.some((path) => read(path).includes('/test/conformance/'))) {
      found.push('has a test without the conformance suite, call it from test/conformance')
    }
    if (!list.includes(`'./${name}/`)) found.push('is not in plugins/index.ts, add an import and a line')
    return found.map((message) => complaint(`plugins/${name}`, 1, message))
  })
}

const referencePage = 'docs/reference.md'

/** Codes in the first column of the table under a heading of the reference page. */
function documented(heading: string): string[] {
  const section =
    read(referencePage)
      .split(/^## /m)
      .find((text) => text.startsWith(heading)) ?? ''
  return [...section.matchAll(/^\| `([a-z_]+)`/gm)].map(([, code = '']) => code)
}

function outcomeKinds(): string[] {
  const declaration =
    /type OutcomeKind =([^\n]+(?:\n\s+\|[^\n]+)*)/.exec(read('src/contract/errors.ts'))?.[1] ?? ''
  return [...declaration.matchAll(/'([a-z_]+)'/g)].map(([, kind = '']) => kind)
}

export function undocumentedCodes(): string[] {
  const tables: readonly (readonly [string, readonly string[]])[] = [
    ['Answers that the gateway makes itself', Object.keys(gatewayErrors)],
    ['Why a captured item was dropped', dropReasons],
    ['What a failed delivery means', outcomeKinds()],
  ]
  return tables.flatMap(([heading, codes]) => {
    const page = documented(heading)
    const line = lineOf(read(referencePage), read(referencePage).indexOf(`## ${heading}`))
    const missing = codes
      .filter((code) => !page.includes(code))
      .map((code) => `does not explain ${code}, add a row`)
    const gone = page
      .filter((code) => !codes.includes(code))
      .map((code) => `explains ${code}, which is gone, remove it`)
    return [...missing, ...gone].map((message) => complaint(referencePage, line, message))
  })
}

/** Exit codes of the command line against the page's table. */
export function undocumentedExits(): string[] {
  const declared = /exitCodes = Object\.freeze\(\{([^}]*)\}/.exec(read('src/main.ts'))?.[1] ?? ''
  const codes = [...declared.matchAll(/: (\d+)/g)].map(([, code = '']) => code)
  const page = read(referencePage)
  const section = page.slice(page.indexOf('## Exit codes'))
  const explained = [...section.matchAll(/^\| (\d+) \|/gm)].map(([, code = '']) => code)
  const missing = codes
    .filter((code) => !explained.includes(code))
    .map((code) => `does not explain ${code}, add a row`)
  const gone = explained
    .filter((code) => !codes.includes(code))
    .map((code) => `explains ${code}, which is gone`)
  const line = lineOf(page, page.indexOf('## Exit codes'))
  return [...missing, ...gone].map((message) => complaint(referencePage, line, message))
}

/** The status that the page names is the one that clients get. */
export function wrongStatuses(): string[] {
  return Object.entries(gatewayErrors).flatMap(([code, { status }]) => {
    const row = new RegExp(`^\\| \`${code}\` \\| (\\d+)`, 'm').exec(read(referencePage))
    if (!row || row[1] === String(status)) return []
    const line = lineOf(read(referencePage), row.index)
    return [complaint(referencePage, line, `${code} must be ${status}, got ${row[1]}`)]
  })
}

export function missingFiles(): string[] {
  const manifest = JSON.parse(read('package.json')) as Manifest
  const commands = Object.values(manifest.scripts).flatMap((script) =>
    script.split(/\s+/).filter((word) => /\.(ts|js|mjs|json)$/.test(word)),
  )
  /** Made when the package is packed. */
  const files = manifest.files.filter((path) => path !== 'dist')
  const named = [...commands, ...files, ...Object.values(manifest.bin), ...Object.values(manifest.exports)]
  return [...new Set(named.map((path) => path.replace(/^\.\//, '')))]
    .filter((path) => !exists(path))
    .map((path) => {
      const line = lineOf(read('package.json'), read('package.json').indexOf(path))
      return complaint(
        'package.json',
        line,
        `names ${path}, which is not there: add the file or remove the name`,
      )
    })
}

/** npm leaves out of the lock what the registry at hand does not hold; `npm ci` refuses such a lock. */
export function incompleteLock(): string[] {
  const lock = 'package-lock.json'
  const { packages } = JSON.parse(read(lock)) as {
    packages: Record<string, { optionalDependencies?: object }>
  }
  const held = Object.keys(packages)
  const wanted = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies),
  )
  return [...new Set(wanted)]
    .filter((name) => !held.some((path) => path.endsWith(`node_modules/${name}`)))
    .map((name) => complaint(lock, 1, `has no entry for ${name}, run npm run lock`))
}

/** What the image copies must exist, and must be let through by .dockerignore. */
export function missingImageFiles(): string[] {
  const letIn = new Set(
    read('.dockerignore')
      .split('\n')
      .flatMap((line) => /^!(.+)$/.exec(line)?.[1] ?? []),
  )
  return read('Dockerfile')
    .split('\n')
    .flatMap((line, index) => {
      if (!line.startsWith('COPY ') || line.includes('--from=')) return []
      const copied = line.split(/\s+/).slice(1, -1)
      const absent = copied
        .filter((path) => !exists(path))
        .map((path) => `copies ${path}, which is not there`)
      const shut = copied
        .filter((path) => !letIn.has(path))
        .map((path) => `copies ${path}, let it into .dockerignore`)
      return [...absent, ...shut].map((message) => complaint('Dockerfile', index + 1, message))
    })
}
