/** Steps over JSON in text that may be cut or broken: the leaves of the field redactor. */

/** One member or element whose value is to be taken out: where it begins, where its value begins and ends. */
export interface Edit {
  readonly start: number
  readonly value: number
  readonly end: number
}

const QUOTE = 0x22
const APOSTROPHE = 0x27
const BACKSLASH = 0x5c

/** End of the value that begins at `from`; the end of the text when it is cut. */
export function skipValue(text: string, from: number): number {
  const first = text.charCodeAt(from)
  if (first === QUOTE || first === APOSTROPHE) return skipString(text, from)
  if (first === 0x7b || first === 0x5b) return skipNested(text, from)
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    // , } ] and line ends: no literal and no number holds one.
    if (code === 0x2c || code === 0x7d || code === 0x5d || code === 0x0a || code === 0x0d) return at
  }
  return text.length
}

/** End of the string whose opening quote stands at `from`. */
export function skipString(text: string, from: number): number {
  const quote = text[from] as string
  for (let at = text.indexOf(quote, from + 1); at !== -1; at = text.indexOf(quote, at + 1)) {
    let escapes = at
    while (text.charCodeAt(escapes - 1) === BACKSLASH && escapes - 1 > from) escapes--
    if ((at - escapes) % 2 === 0) return at + 1
  }
  return text.length
}

/** Counts brackets instead of matching them: broken nesting takes too much away rather than too little. */
function skipNested(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = skipString(text, at) - 1
    else if (code === 0x7b || code === 0x5b) depth++
    else if (code === 0x7d || code === 0x5d) {
      depth--
      if (depth === 0) return at + 1
    }
  }
  return text.length
}
