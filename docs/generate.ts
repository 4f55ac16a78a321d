/** Writes what comes from the code: gateway.schema.json for editors, pages for people. */
import { writeFileSync } from 'node:fs'
import { providers, sinks } from '../plugins/index.ts'
import { activityEventsPage } from './activity-events-page.ts'
import { configurationPage } from '../src/config/reference-page.ts'
import { editorSchemaText } from '../src/config/editor-schema.ts'

const files = [
  ['../gateway.schema.json', editorSchemaText({ sinks, providers })],
  ['./configuration.md', configurationPage({ sinks, providers })],
  ['./activity-events.md', activityEventsPage()],
] as const

for (const [path, text] of files) writeFileSync(new URL(path, import.meta.url), text)
console.log(files.map(([path]) => path.replace(/^\.+\//, '')).join('\n'))
