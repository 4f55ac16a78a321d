/** The name that someone who wrote an unknown one probably meant. */

/** The known name that a wrong one was probably meant to be. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase().replaceAll('-', '_').slice(0, 64)
  const allowed = Math.max(1, Math.floor(wanted.length / 3))
  const ranked = known
    .map((candidate) => ({ candidate, edits: distance(wanted, candidate.toLowerCase()) }))
    .filter(({ edits }) => edits <= allowed)
    .sort((a, b) => a.edits - b.edits)
  return ranked[0]?.candidate
}

/** A name that the other begins with is as near as one typing error: `warning` for `warn`. */
function distance(from: string, to: string): number {
  const shorter = Math.min(from.length, to.length)
  return shorter >= 3 && from.slice(0, shorter) === to.slice(0, shorter) ? 1 : editDistance(from, to)
}

/** Levenshtein's distance, where two swapped letters are one error. */
function editDistance(from: string, to: string): number {
  let before: number[] = []
  let above = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let at = 1; at <= to.length; at++) {
      const replaced = (above[at - 1] as number) + (from[row - 1] === to[at - 1] ? 0 : 1)
      const swapped = from[row - 1] === to[at - 2] && from[row - 2] === to[at - 1]
      const swap = swapped && row > 1 && at > 1 ? (before[at - 2] as number) + 1 : replaced
      current.push(Math.min(replaced, swap, (above[at] as number) + 1, (current[at - 1] as number) + 1))
    }
    before = above
    above = current
  }
  return above[to.length] as number
}
