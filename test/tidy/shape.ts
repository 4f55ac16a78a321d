/** Rules about the shape of a single source: length, width, names, types, leftovers. */
import { basename } from 'node:path'
import { Visitor } from 'oxc-parser'
import type {
  CallExpression,
  Expression,
  Function as FunctionNode,
  ArrowFunctionExpression,
} from 'oxc-parser'
import { complaint, lineOf, paths, read, sources } from './tree.ts'
import type { Source } from './tree.ts'

const functionLinesMax = 70
const columnsMax = 110

/** The name a call starts with: `describe` of `describe.each(table)('…', …)`. */
function calledName(callee: CallExpression['callee']): string {
  let node: Expression | CallExpression['callee'] = callee
  for (;;) {
    if (node.type === 'CallExpression') node = node.callee
    else if (node.type === 'MemberExpression') node = node.object
    else return node.type === 'Identifier' ? node.name : ''
  }
}

function longFunctionsOf({ path, text, program }: Source): string[] {
  const found: string[] = []
  /** Bodies of `describe`: lists of tests, each a function of its own. */
  const lists = new Set<number>()
  const measure = ({ start, end }: FunctionNode | ArrowFunctionExpression): void => {
    const [first, last] = [lineOf(text, start), lineOf(text, end)]
    const length = last - first + 1
    if (length <= functionLinesMax || lists.has(start)) return
    const message = `function must be at most ${functionLinesMax} lines, got ${length}: split it`
    found.push(complaint(path, first, message))
  }
  new Visitor({
    CallExpression(node) {
      if (calledName(node.callee) !== 'describe') return
      for (const argument of node.arguments) lists.add(argument.start)
    },
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: measure,
  }).visit(program)
  return found
}

export function longFunctions(): string[] {
  return sources.flatMap(longFunctionsOf)
}

export function longLines(): string[] {
  return sources.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => {
      if (line.length <= columnsMax) return []
      return [
        complaint(
          path,
          index + 1,
          `line must be at most ${columnsMax} columns, got ${line.length}: break it`,
        ),
      ]
    }),
  )
}

export function anyTypes(): string[] {
  return sources.flatMap(({ path, text, program }) => {
    const found: string[] = []
    new Visitor({
      TSAnyKeyword({ start }) {
        found.push(complaint(path, lineOf(text, start), 'has the type any, use unknown and narrow it'))
      },
    }).visit(program)
    return found
  })
}

export function consoleCalls(): string[] {
  const talks = /^(src\/main\.ts|bin\/|demo\/|bench\/|build\/|docs\/|\.ci\/)/
  return sources.flatMap(({ path, text, program }) => {
    if (talks.test(path)) return []
    const found: string[] = []
    new Visitor({
      MemberExpression({ object, start }) {
        if (object.type !== 'Identifier' || object.name !== 'console') return
        found.push(
          complaint(path, lineOf(text, start), 'writes to the console, use the log of src/telemetry'),
        )
      },
    }).visit(program)
    return found
  })
}

/** A skip says why: `test.skipIf(condition)` with the reason in its name, or `context.skip('reason')`. */
export function silentSkips(): string[] {
  return sources.flatMap(({ path, text, program }) => {
    const found: string[] = []
    new Visitor({
      CallExpression({ callee, arguments: given, start }) {
        if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier') return
        if (!path.endsWith('.test.ts') || callee.property.name !== 'skip') return
        const whole = ['it', 'test', 'describe'].includes(calledName(callee))
        if (!whole && given.length > 0) return
        found.push(complaint(path, lineOf(text, start), "skips in silence, use context.skip('the reason')"))
      },
    }).visit(program)
    return found
  })
}

export function vagueNames(): string[] {
  const vague = /^(utils?|helpers?|misc|common)\b/i
  return paths
    .filter((path) => path.split('/').some((part) => vague.test(part)))
    .map((path) => complaint(path, 1, `${basename(path)} says nothing, name the noun that it holds`))
}

export function missingHeaders(): string[] {
  return sources
    .filter(({ text }) => !/^(#![^\n]*\n)?(\/\*\*?|\/\/)/.test(text))
    .map(({ path }) => complaint(path, 1, 'starts without a comment, say in one sentence what the file is'))
}

/** Split, so that this file does not find itself. */
const leftovers = new RegExp(`\\b(${['FIX' + 'ME', 'TO' + 'DO', 'X' + 'XX'].join('|')})\\b`)
const registries = new RegExp(`registry\\.${'npmjs'}|deb\\.${'debian'}|"resolved"\\s*:`)

function linesThatMatch(pattern: RegExp, message: string): string[] {
  const texts = paths.filter((path) =>
    /\.(ts|js|mjs|json|md|ya?ml|sh)$|^\.ci\/run$|^Dockerfile$|^\.npmrc$/.test(path),
  )
  return texts.flatMap((path) =>
    read(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [complaint(path, index + 1, message)] : [])),
  )
}

export function unfinishedWork(): string[] {
  return linesThatMatch(leftovers, 'is marked as unfinished, finish it or file it')
}

export function registryAddresses(): string[] {
  return linesThatMatch(registries, 'names a package registry, leave the choice to the machine that installs')
}
