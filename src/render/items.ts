/** From an item of a mirror, already redacted, to the formats that are made of it. */
import type { ExchangeItem } from '../contract/exchange.ts'
import type { ItemFormat } from '../contract/plugin.ts'
import type { RecordMessage } from '../contract/tasks.ts'
import { aktoRecord } from './akto.ts'
import { filler } from './fill.ts'
import { harEntry } from './har.ts'
import { readTemplate } from './template.ts'

/** An item as JSON on one line → the same in its format. */
export type ItemRenderer = (item: string) => string

/** Null where items stay as they are. Throws for a template that was not checked. */
export function itemRenderer(
  format: ItemFormat,
  environment: string,
  message: RecordMessage | null,
): ItemRenderer | null {
  if (format === 'har') return (item) => JSON.stringify(harEntry(JSON.parse(item) as ExchangeItem))
  if (format === 'akto') return (item) => JSON.stringify(aktoRecord(JSON.parse(item) as ExchangeItem))
  if (format !== 'template' || message === null) return null
  const read = readTemplate(message.template)
  if ('pieces' in read) return filler(read.pieces, { ...message, environment })
  throw new Error(`the template ${read.message}`)
}
