/** What a change by API asks for, or what stands against it: whose it is, its version, who needs it. */
import { ConflictError } from '../admin/commands.ts'
import type { ResourceOutcome, ResourceRequest } from '../admin/resource-commands.ts'
import { mergePatch } from '../config/merge-patch.ts'
import { pathOf } from '../config/places.ts'
import type { Problem } from '../config/problems.ts'
import type { Config } from '../config/schema.ts'
import {
  apiPlace,
  type Definition,
  deliveryKinds,
  type ResourceKind,
  resourceNouns,
} from '../contract/resources.ts'
import type { OpenResource, ResourceBook, WantedResource } from './resource-book.ts'

type Refusal = Exclude<ResourceOutcome, { readonly result: 'done' }>

/** What is defined before the change. */
interface Defined {
  readonly book: ResourceBook
  readonly config: Config
  /** `gateway.yaml:12` of what the file defines. */
  readonly placeInFile: (kind: ResourceKind, name: string) => string | null
}

/** Throws a ConflictError for what the API may not change now. */
export function wantedBy(request: ResourceRequest, defined: Defined): WantedResource | Refusal {
  const { kind, name, act, ifMatch } = request
  const known = defined.book.find(kind, name)
  assertOurs(request, known, defined)
  if (act !== 'create' && known === null) return { result: 'unknown' }
  if (ifMatch !== null && !isMatch(ifMatch, known)) return { result: 'stale' }
  if (act === 'delete') return { kind, name, definition: null }
  const { definition, problems } = definitionOf(request, known, defined.book)
  return problems.length > 0 ? { result: 'invalid', problems } : { kind, name, definition }
}

function assertOurs(
  { kind, name, act }: ResourceRequest,
  known: OpenResource | null,
  defined: Defined,
): void {
  const noun = `${resourceNouns[kind]} ${JSON.stringify(name)}`
  const inFile = known === null ? defined.placeInFile(kind, name) : null
  if (inFile !== null) {
    const advice = act === 'create' ? 'choose another name' : 'change it there, then reload'
    throw new ConflictError(`${noun} is defined in ${inFile}: ${advice}`)
  }
  if (act === 'create' && known !== null)
    throw new ConflictError(
      `${noun} exists already, created by ${known.origin.created_by}: change it with PUT`,
    )
  const users = act === 'delete' ? usersOf(kind, name, defined) : []
  if (users.length > 0) throw new ConflictError(`${noun} is in use by ${users.join(', ')}: change that first`)
}

/** What would break without it. */
function usersOf(kind: ResourceKind, name: string, { book, config }: Defined): string[] {
  if (kind === 'connections')
    return deliveryKinds.flatMap((users) =>
      config[users]
        .filter(({ connection }) => connection === name)
        .map((one) => `${resourceNouns[users]} ${one.name}`),
    )
  if (kind === 'streams') return []
  const [other, key] =
    kind === 'mirrors' ? (['collections', 'mirrors'] as const) : (['mirrors', 'collections'] as const)
  const users = book.list().filter((one) => one.kind === other && names(one.definition[key], name))
  return users.map((one) => `${resourceNouns[other]} ${one.name}`)
}

function names(list: unknown, name: string): boolean {
  return Array.isArray(list) && list.includes(name)
}

/** RFC 9110 §13.1.1: any version for `*`, otherwise one of the tags, compared strongly. */
function isMatch(tags: readonly string[], known: OpenResource | null): boolean {
  return known !== null && (tags.includes('*') || tags.includes(`"${known.origin.etag}"`))
}

/** The whole definition that is asked for, covered texts put back. */
function definitionOf(
  { kind, name, act, body }: ResourceRequest,
  known: OpenResource | null,
  book: ResourceBook,
): { readonly definition: Definition; readonly problems: readonly Problem[] } {
  const merged = act === 'merge' ? (mergePatch(known?.definition, body) as Definition) : body
  const named = { ...merged, name: merged['name'] ?? name }
  const { definition, unknown } = book.secrets.uncover(kind, named, known?.definition ?? null)
  const problem = (path: string, message: string): Problem => {
    return { file: apiPlace({ kind, name }), line: 1, column: 1, path, message }
  }
  const problems = unknown.map((pointer) =>
    problem(pathOf(pointer), 'must be a value, got a covered one that stands for nothing'),
  )
  if (act !== 'create' && named.name !== name)
    problems.push(problem('name', `must be ${JSON.stringify(name)}, the name in the path: names stay`))
  return { definition, problems }
}
