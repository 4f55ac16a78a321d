/** The generated files are what the schema gives now, and the schema for editors agrees with the loader. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { assemble } from '../../build/assemble.ts'
import { activityEventsPage } from '../../docs/activity-events-page.ts'
import { configurationPage } from '../../src/config/reference-page.ts'
import { editorSchemaText } from '../../src/config/editor-schema.ts'
import { providers, sinks } from '../../plugins/index.ts'
import { providers as fixtureProviders } from './providers.ts'
import { sinks as fixtureSinks } from './sinks.ts'

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

function editorCheck(text: string) {
  return new Ajv({ strict: false }).compile(JSON.parse(text) as object)
}

test('gateway.schema.json equals its regeneration: npm run docs', () => {
  expect(read('gateway.schema.json')).toBe(editorSchemaText({ sinks, providers }))
})

test('docs/configuration.md equals its regeneration: npm run docs', () => {
  expect(read('docs/configuration.md')).toBe(configurationPage({ sinks, providers }))
})

test('docs/activity-events.md equals its regeneration: npm run docs', () => {
  expect(read('docs/activity-events.md')).toBe(activityEventsPage())
})

test('the WebAssembly of the recorder equals its source: npm run wasm', async () => {
  const source = new URL('../../src/recorder/json-escape.wat', import.meta.url)
  const compiled = readFileSync(new URL('../../src/recorder/json-escape.wasm', import.meta.url))
  expect(Buffer.from(await assemble(source)).equals(compiled)).toBe(true)
})

test('the page names every sink and its options', () => {
  const page = configurationPage({ sinks, providers })
  for (const sink of sinks) {
    expect(page).toContain(`\`sink: ${sink.name}\``)
    for (const key of Object.keys(sink.options.properties)) expect(page).toContain(`| \`${key}\` |`)
  }
})

test('editors accept gateway.yaml', () => {
  const check = editorCheck(read('gateway.schema.json'))
  expect(check(parse(read('gateway.yaml'))), JSON.stringify(check.errors)).toBe(true)
})

let compiled: ReturnType<typeof editorCheck> | null = null

/** Compiled once: it takes longer than all that it judges. */
function checkFixture(value: unknown) {
  compiled ??= editorCheck(editorSchemaText({ sinks: fixtureSinks, providers: fixtureProviders }))
  return { accepted: compiled(value), errors: compiled.errors }
}

test('editors accept every good fixture', () => {
  const folder = fileURLToPath(new URL('good', import.meta.url))
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
    const { accepted, errors } = checkFixture(parse(read(`test/config/good/${file}`)))
    expect(accepted, `${file} ${JSON.stringify(errors)}`).toBe(true)
  }
})

test.each([
  'unknown-key-at-top',
  'unknown-key-in-section',
  'unknown-key-in-mirror',
  'number-out-of-range',
  'enum-values',
  'later-sections',
  'later-keys',
  'later-keys-of-mirrors',
  'required-keys',
  'wrong-types',
  'unknown-sink',
  'format-of-another-sink',
  'sink-options',
])('editors refuse %s', (name) => {
  expect(checkFixture(parse(read(`test/config/bad/${name}.yaml`))).accepted).toBe(false)
})
