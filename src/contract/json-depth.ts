/** How deep a JSON text nests, without parsing it. */

const [QUOTE, BACKSLASH] = [0x22, 0x5c]

/** Whether objects and arrays stand in each other more than `most` deep; brackets in strings count not. */
export function nestsDeeper(json: string, most: number): boolean {
  // Each one takes two brackets.
  if (json.length <= most * 2) return false
  let depth = 0
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) at = endOfString(json, at)
    else if (code === 0x7b || code === 0x5b) depth += 1
    else if (code === 0x7d || code === 0x5d) depth -= 1
    if (depth > most) return true
  }
  return false
}

/** Its closing quote; the end of the text where there is none. */
function endOfString(json: string, from: number): number {
  for (let at = json.indexOf('"', from + 1); at !== -1; at = json.indexOf('"', at + 1)) {
    let escapes = at
    while (escapes > from && json.charCodeAt(escapes - 1) === BACKSLASH) escapes -= 1
    if ((at - escapes) % 2 === 0) return at
  }
  return json.length
}
