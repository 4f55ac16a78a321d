/** gateway.yaml → one frozen configuration, or every problem at once: syntax, schema and meaning together. */
import { createReadStream } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { limits } from '../contract/limits.ts'
import type { ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'
import type { ApiResource } from '../contract/resources.ts'
import { assemble } from './assemble.ts'
import { deliveryFields } from './delivery-fields.ts'
import { type Finding, parseText, type ParsedText } from './document.ts'
import { Draft, type Remark } from './draft.ts'
import { overlay } from './overlay.ts'
import { pathOf, type Place, type Places } from './places.ts'
import type { Problem } from './problems.ts'
import { NamedProviders } from './provider-names.ts'
import { type Environment, fillEnvironment, isReference, resolveReferences } from './references.ts'
import { checkCollections } from './rules/collections.ts'
import { checkConnections } from './rules/connections.ts'
import { checkListen } from './rules/listen.ts'
import { checkMemory } from './rules/memory.ts'
import { checkMirrors } from './rules/mirrors.ts'
import { checkNames } from './rules/names.ts'
import { checkNotifications } from './rules/notifications.ts'
import { checkSecrets } from './rules/secrets.ts'
import { checkStreams } from './rules/streams.ts'
import { type LoadedPlugins, loadPlugins, unknownKinds } from './plugins.ts'
import type { Config, PluginModule } from './schema.ts'
import type { SchemaFinding } from './schema-wording.ts'
import { type Plugins, validate } from './validate.ts'

/** A configuration that can be run, and what is known of where it came from. */
export interface Usable {
  readonly ok: true
  readonly config: Config
  readonly warnings: readonly Problem[]
  readonly file: string
  /** Where its values stand, for who finds one wrong later. */
  readonly places: Places
  readonly source: Source
}

interface Refused {
  readonly ok: false
  readonly problems: Problem[]
}

export type Loaded = Usable | Refused

/** What a configuration was made from. */
export interface Source {
  /** Of the file. */
  readonly text: string
  /** File and API together, as people wrote them: references as references, no defaults. */
  readonly written: unknown
  /** The same with its defaults, references replaced. */
  readonly effective: unknown
  /** Texts of `written` whose references were replaced, by JSON pointer. */
  readonly raw: ReadonlyMap<string, string>
}

export interface LoadOptions {
  /** Path as the user gave it; `-` reads stdin. */
  readonly file: string
  /** Text to use instead of the content of `file`, which then only names it. */
  readonly text?: string
  /** Where `${env:NAME}` looks; the process's own by default. */
  readonly env?: Environment
  readonly sinks: readonly SinkDefinition[]
  /** Places of secrets that `secrets.providers` may name. */
  readonly providers?: readonly ProviderDefinition[]
  /** What the API defined beside the file. */
  readonly resources?: readonly ApiResource[]
  readonly generation: number
  /** Plugins of the gateway that runs already: the file must name the same ones. */
  readonly running?: readonly PluginModule[]
  /** Data threads where the file sets none; cores - 1 by default. */
  readonly threads?: number
}

export async function loadConfig(options: LoadOptions): Promise<Loaded> {
  const opened = await openFile(options)
  if (!opened.ok) return opened
  const { text, parsed, loaded } = opened
  const alone = await examine(parsed, loaded, options)
  const resources = options.resources ?? []
  // The file must be valid by itself: it is what `check` sees, and what the next start reads first.
  if (alone.problems.length > 0 || resources.length === 0) return settle(parsed, alone, options, text)
  const whole = overlay(parsed, resources)
  return settle(whole, await examine(whole, loaded, options), options, text)
}

interface Opened {
  readonly ok: true
  readonly text: string
  readonly parsed: ParsedText
  readonly loaded: LoadedPlugins
}

/** A file before it is judged, with what it may name. */
async function openFile(options: LoadOptions): Promise<Opened | Refused> {
  const { file, sinks, providers = [], env = process.env, running } = options
  const read = options.text === undefined ? await readText(file) : { content: options.text }
  if ('message' in read) return refused(file, read.message)
  const { content: text } = read
  if (Buffer.byteLength(text) > limits.config_file_bytes) return refused(file, tooLarge)
  const parsed = parseText(text)
  const known = { builtIn: { sinks, providers }, folder: folderOf(file), env, text, running }
  return { ok: true, text, parsed, loaded: await loadPlugins(parsed, known) }
}

function refused(file: string, message: string): Refused {
  return { ok: false, problems: [{ file, line: 1, column: 1, path: '', message }] }
}

/** What a file may name, whatever else is wrong with it; or what is wrong with the plugins that it names. */
export async function loadPluginsOf(
  options: LoadOptions,
): Promise<{ readonly ok: true; readonly plugins: Plugins } | Refused> {
  const opened = await openFile(options)
  if (!opened.ok) return opened
  const { places, findings: syntax } = opened.parsed
  const { plugins, findings, incomplete } = opened.loaded
  if (!incomplete) return { ok: true, plugins }
  return {
    ok: false,
    problems: bounded(toProblems([...syntax, ...findings], options.file, places), 'problems'),
  }
}

interface Examined {
  readonly problems: readonly Remark[]
  readonly draft: Draft
  readonly raw: ReadonlyMap<string, string>
}

function settle(
  { value, places }: ParsedText,
  { problems, draft, raw }: Examined,
  { file, generation }: LoadOptions,
  text: string,
): Loaded {
  if (problems.length > 0)
    return { ok: false, problems: bounded(toProblems(problems, file, places), 'problems') }
  const warnings = bounded(toProblems(draft.warnings, file, places), 'warnings')
  const source = { text, written: value, effective: draft.file, raw }
  return { ok: true, config: assemble(draft, generation), warnings, file, places, source }
}

const tooLarge = `must be at most ${limits.config_file_bytes} bytes`

/** Reads a bounded UTF-8 text, or says why not. */
async function readText(file: string): Promise<{ content: string } | { message: string }> {
  const stream = file === '-' ? process.stdin : createReadStream(file)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > limits.config_file_bytes) return { message: tooLarge }
    }
  } catch (error) {
    return { message: `cannot be read: ${readFailure(error)}` }
  }
  try {
    return { content: new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)) }
  } catch {
    return { message: 'must be UTF-8 text' }
  }
}

const readFailures: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
}

function readFailure(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
  return readFailures[code] ?? code
}

/** The three steps; each later one leaves out what an earlier one found to be broken. */
async function examine(parsed: ParsedText, loaded: LoadedPlugins, options: LoadOptions): Promise<Examined> {
  const { file, threads, env = process.env } = options
  const { places, brokenAt } = parsed
  const { sinks, providers } = loaded.plugins
  const folder = folderOf(file)
  const fill = (text: string): string => fillEnvironment(text, env)
  const named = new NamedProviders({ tree: parsed.value, definitions: providers, folder, fill })
  const resolved = await resolveReferences(parsed.value, env, named, deliveryFields(parsed.value, sinks))
  const { value: tree, raw, findings: references, deferred, templates } = resolved
  const lost = parsed.findings.filter((finding) => finding.lost === true)
  const unresolved = new Set([...references, ...lost].map(({ pointer }) => pointer))
  const schema = (
    tree === undefined
      ? []
      : validate(
          tree,
          { sinks, providers },
          {
            raw,
            mayBeNumber: (pointer) => isReference(raw.get(pointer) ?? ''),
          },
        )
  ).filter(({ pointer }) => !unresolved.has(pointer) && !deferred.has(pointer))
  const follows = consequences(parsed, loaded)
  const certain = references.filter(({ pointer }) => !follows(pointer))
  const remarks: Finding[] = [
    ...parsed.findings,
    ...loaded.findings,
    ...certain.map(({ pointer, message }) => ({ pointer, place: places.value(pointer), message })),
    ...schema
      .map((finding) => ({
        ...finding,
        place: finding.atKey ? places.key(finding.pointer) : places.value(finding.pointer),
      }))
      .filter((finding) => brokenAt === null || isCertain(finding, brokenAt))
      .filter(({ pointer }) => !/\/(sink|provider)$/.test(pointer) || !follows(pointer)),
  ]
  const draft = new Draft({
    ...{ tree, places, raw, deferred, templates, sinks, providers, folder, plugins: loaded.modules },
    broken: [...unresolved, ...schema.filter(({ breaks }) => breaks).map(({ pointer }) => pointer)],
    threads: threads ?? Math.max(1, availableParallelism() - 1),
  })
  // What follows a broken line was guessed by the parser: its meaning is not worth a word.
  if (brokenAt === null && draft.isSection()) await checkMeaning(draft)
  return { problems: [...remarks, ...draft.problems], draft, raw }
}

/** Folder that relative paths start from. */
function folderOf(file: string): string {
  return file === '-' ? process.cwd() : dirname(resolve(file))
}

/** Tells of a pointer whether what is wrong there only follows from a plugin that is not there. */
function consequences(parsed: ParsedText, loaded: LoadedPlugins): (pointer: string) => boolean {
  const unknown = loaded.incomplete ? unknownKinds(parsed.value, loaded.plugins) : []
  return (pointer) => unknown.some((at) => pointer.startsWith(`${at}/`))
}

async function checkMeaning(draft: Draft): Promise<void> {
  checkListen(draft)
  await checkCollections(draft)
  await checkConnections(draft)
  await checkSecrets(draft)
  checkMirrors(draft)
  checkStreams(draft)
  await checkNotifications(draft)
  checkMemory(draft)
  checkNames(draft)
}

function isCertain(finding: SchemaFinding & { place: Place }, brokenAt: Place): boolean {
  return !finding.guessed && finding.place.line < brokenAt.line
}

function comparePlaces(a: Place, b: Place): number {
  return a.line - b.line || a.column - b.column
}

function toProblems(remarks: readonly Remark[], file: string, places: Places): Problem[] {
  return [...remarks]
    .sort((a, b) => comparePlaces(a.place, b.place))
    .map(({ pointer, place, message }) => {
      const elsewhere = places.elsewhere(pointer)
      if (elsewhere === null) return { file, ...place, path: pathOf(pointer), message }
      return { file: elsewhere.name, ...place, path: pathOf(elsewhere.pointer), message }
    })
}

/** The first ones, and how many more there are. */
function bounded(problems: Problem[], noun: 'problems' | 'warnings'): Problem[] {
  const most = limits.config_problems_max
  const next = problems[most - 1]
  if (problems.length <= most || next === undefined) return problems
  const more = problems.length - most + 1
  return [
    ...problems.slice(0, most - 1),
    { ...next, path: '', message: `${more} more ${noun} follow from here` },
  ]
}
