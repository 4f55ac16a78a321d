/**
 * A reader of CEF lines, written from the standard alone: it shares nothing with what writes them, and
 * refuses what a strict receiver would refuse.
 */

interface CefRecord {
  /** What a syslog relay or a webhook puts before `CEF:`. */
  readonly prefix: string
  /** Vendor, product, version, class id, name. */
  readonly header: string[]
  readonly severity: number
  readonly extension: Record<string, string>
}

export function parseCef(line: string): CefRecord {
  const start = line.indexOf('CEF:')
  if (start === -1) throw new Error(`must hold CEF:, got ${line}`)
  const fields: string[] = []
  let field = ''
  let at = start + 'CEF:'.length
  for (; fields.length < 7; at += 1) {
    const character = line[at]
    if (character === undefined) throw new Error(`must have seven header fields, got ${fields.length}`)
    if (character === '|') {
      fields.push(field)
      field = ''
    } else if (character === '\\') {
      at += 1
      const escaped = line[at]
      if (escaped !== '\\' && escaped !== '|') throw new Error(`must escape only \\ and |, got ${escaped}`)
      field += escaped
    } else field += character
  }
  const [versionNumber, ...rest] = fields
  if (versionNumber !== '0') throw new Error(`must be version 0, got ${versionNumber}`)
  const severity = Number(rest.pop())
  if (!(severity >= 0 && severity <= 10)) throw new Error(`severity must be 0 to 10, got ${severity}`)
  return { prefix: line.slice(0, start), header: rest, severity, extension: extensionOf(line.slice(at)) }
}

/** A key begins behind a space and ends at an equal sign that no backslash escapes. */
function extensionOf(text: string): Record<string, string> {
  const marks: { key: string; from: number; value: number }[] = []
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1
    else if (text[at] === '=') {
      const from = text.lastIndexOf(' ', at) + 1
      const key = text.slice(from, at)
      if (!/^[A-Za-z0-9_]+$/.test(key)) throw new Error(`a key must be alphanumeric, got ${key}`)
      marks.push({ key, from, value: at + 1 })
    }
  }
  const pairs: Record<string, string> = {}
  for (const [at, { key, value }] of marks.entries()) {
    if (key in pairs) throw new Error(`each key must stand once, got ${key} again`)
    const end = (marks[at + 1]?.from ?? text.length + 1) - 1
    pairs[key] = unescaped(text.slice(value, end))
  }
  return pairs
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\', '=': '=', n: '\n', r: '\r' }

function unescaped(value: string): string {
  let out = ''
  for (let at = 0; at < value.length; at += 1) {
    if (value[at] !== '\\') {
      out += value[at]
      continue
    }
    at += 1
    const meant = escapes[value[at] ?? '']
    if (meant === undefined) throw new Error(`must escape only \\ = and line ends, got \\${value[at]}`)
    out += meant
  }
  return out
}
