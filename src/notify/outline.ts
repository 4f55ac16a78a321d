/** An outline of a message, written as text and as HTML; what comes from outside is made harmless here. */
import type { Step } from './advice.ts'

export interface Section {
  readonly heading: string
  readonly facts?: readonly (readonly [name: string, value: string])[]
  readonly quote?: string
  readonly steps?: readonly Step[]
}

export interface Outline {
  readonly title: string
  readonly sections: readonly Section[]
}

/** One line, without what would end a header or turn the writing round (Unicode TR 36 §2.5). */
export function clean(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').replace(bidi, '')
}

const bidi = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g

/** Several lines, otherwise the same. */
function block(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]+/g, ' ').replace(bidi, '')
}

const htmlStart = '<!doctype html><html><body style="font-family:sans-serif">'

export function written({ title, sections }: Outline): { text: string; html: string } {
  const text = sections.map((section) => `${section.heading}\n${textOf(section)}`).join('\n\n')
  const body = sections.map((section) => `<h3>${escaped(section.heading)}</h3>${htmlOf(section)}`).join('\n')
  return {
    text: `${title}\n\n${text}\n`,
    html: `${htmlStart}<h2>${escaped(title)}</h2>\n${body}</body></html>\n`,
  }
}

function textOf({ facts = [], quote, steps = [] }: Section): string {
  const lines = facts.map(([name, value]) => `  ${clean(name)}: ${block(value).replaceAll('\n', '\n    ')}`)
  if (quote !== undefined)
    lines.push(
      ...block(quote)
        .split('\n')
        .map((line) => `  | ${line}`),
    )
  steps.forEach(({ text, command }, at) => {
    lines.push(`  ${at + 1}. ${clean(text)}`)
    if (command !== undefined) lines.push(`       ${clean(command)}`)
  })
  return lines.join('\n')
}

function htmlOf({ facts = [], quote, steps = [] }: Section): string {
  const cell = 'style="padding:2px 12px 2px 0;vertical-align:top"'
  const rows = facts.map(
    ([name, value]) =>
      `<tr><td ${cell}>${escaped(name)}</td><td ${cell}>${escaped(value).replaceAll('\n', '<br>')}</td></tr>`,
  )
  const list = steps.map(({ text, command }) => {
    const code = command === undefined ? '' : `<pre>${escaped(command)}</pre>`
    return `<li>${escaped(text)}${code}</li>`
  })
  return [
    rows.length === 0 ? '' : `<table>${rows.join('')}</table>`,
    quote === undefined ? '' : `<pre>${escaped(quote)}</pre>`,
    list.length === 0 ? '' : `<ol>${list.join('')}</ol>`,
  ].join('')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return block(text).replace(/[&<>"']/g, (character) => entities[character] ?? '')
}
