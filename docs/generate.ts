/** Writes what comes from the schema: gateway.schema.json for editors, docs/configuration.md for people. */
import { writeFileSync } from 'node:fs'
import { sinks } from '../plugins/index.ts'
import { configurationPage } from './configuration-page.ts'
import { editorSchemaText } from './editor-schema.ts'

const files = [
  ['../gateway.schema.json', editorSchemaText(sinks)],
  ['./configuration.md', configurationPage(sinks)],
] as const

for (const [path, text] of files) writeFileSync(new URL(path, import.meta.url), text)
console.log(files.map(([path]) => path.replace(/^\.+\//, '')).join('\n'))
