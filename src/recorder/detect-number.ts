/** Payment card numbers and social security numbers, in groups of digits as people write them. */

/** Digits of the longest card number (ISO/IEC 7812-1). */
const CARD_DIGITS_MAX = 19
const GROUPS_MAX = 5

/** One number in the text, from where it was asked for. */
export interface NumberMatch {
  readonly kind: 'card_number' | 'ssn'
  readonly end: number
}

interface Groups {
  readonly ends: readonly number[]
  readonly lengths: readonly number[]
  readonly digits: string
  /** Between the groups; empty where there is one. */
  readonly separator: string
}

/**
 * The number that begins at `from`, where a group of digits begins; null when none does. Looks at so many
 * characters as the longest number has, and at the rest of the first group.
 */
export function numberAt(text: string, from: number, wanted: ReadonlySet<string>): NumberMatch | null {
  const { ends, lengths, digits, separator } = groupsAt(text, from)
  for (let count = ends.length; count > 0; count -= 1) {
    const end = ends[count - 1] as number
    if (!endsAt(text, end, count === 1 ? '' : separator)) continue
    const shape = lengths.slice(0, count)
    const number = digits.slice(0, total(shape))
    if (wanted.has('card_number') && isCardShape(shape) && isCardNumber(number))
      return { kind: 'card_number', end }
    if (wanted.has('ssn') && isSocialSecurity(shape, number)) return { kind: 'ssn', end }
  }
  return null
}

/** Where the digits that stand at `from` end. */
export function endOfDigits(text: string, from: number): number {
  let at = from
  while (isDigit(text.charCodeAt(at))) at += 1
  return at
}

/** Groups that one and the same space or dash keeps apart. */
function groupsAt(text: string, from: number): Groups {
  const ends: number[] = []
  const lengths: number[] = []
  let digits = ''
  let separator = ''
  for (let at = from; ; ) {
    const end = endOfDigits(text, at)
    ends.push(end)
    lengths.push(end - at)
    digits += text.slice(at, Math.min(end, at + CARD_DIGITS_MAX + 1))
    const next = text[end]
    if (digits.length >= CARD_DIGITS_MAX || ends.length === GROUPS_MAX) break
    if ((next !== ' ' && next !== '-') || !isDigit(text.charCodeAt(end + 1))) break
    if (separator !== '' && separator !== next) break
    separator = next
    at = end + 1
  }
  return { ends, lengths, digits, separator }
}

/** Not within a longer number, word, identifier, or run of groups that dashes join. */
function endsAt(text: string, end: number, separator: string): boolean {
  const next = text.charCodeAt(end)
  if (isWord(next)) return false
  if (next === DOT) return !isDigit(text.charCodeAt(end + 1))
  return next !== DASH || separator === ' ' || !isWord(text.charCodeAt(end + 1))
}

/** Groups of four with a rest, or those of American Express (4-6-5) and Diners Club (4-6-4); or one. */
function isCardShape(lengths: readonly number[]): boolean {
  if (lengths.length === 1) return true
  const last = lengths.length - 1
  if (lengths.every((length, at) => (at < last ? length === 4 : length <= 4))) return true
  return (
    lengths.length === 3 && lengths[0] === 4 && lengths[1] === 6 && (lengths[2] === 5 || lengths[2] === 4)
  )
}

function isCardNumber(digits: string): boolean {
  return brands.some((brand) => isOfBrand(digits, brand)) && luhn(digits)
}

/** First digits from and to, of equal length, and how long the whole number is. */
interface Brand {
  readonly ranges: readonly (readonly [from: string, to: string])[]
  readonly lengths: readonly number[]
}

const brands: readonly Brand[] = [
  { ranges: [['4', '4']], lengths: [13, 16, 19] },
  {
    ranges: [
      ['51', '55'],
      ['2221', '2720'],
    ],
    lengths: [16],
  },
  {
    ranges: [
      ['34', '34'],
      ['37', '37'],
    ],
    lengths: [15],
  },
  {
    ranges: [
      ['300', '305'],
      ['36', '36'],
      ['38', '39'],
    ],
    lengths: [14, 16, 17, 18, 19],
  },
  {
    ranges: [
      ['6011', '6011'],
      ['644', '659'],
      ['62', '62'],
      ['3528', '3589'],
    ],
    lengths: [16, 17, 18, 19],
  },
  {
    ranges: [
      ['5018', '5018'],
      ['5020', '5020'],
      ['5038', '5038'],
      ['5893', '5893'],
      ['6304', '6304'],
      ['6759', '6763'],
    ],
    lengths: [13, 14, 15, 16, 17, 18, 19],
  },
]

function isOfBrand(digits: string, { ranges, lengths }: Brand): boolean {
  if (!lengths.includes(digits.length)) return false
  return ranges.some(([from, to]) => {
    const start = digits.slice(0, from.length)
    return start >= from && start <= to
  })
}

/** ISO/IEC 7812-1, annex B. */
function luhn(digits: string): boolean {
  let sum = 0
  for (let at = 0; at < digits.length; at += 1) {
    const digit = digits.charCodeAt(digits.length - 1 - at) - 0x30
    const doubled = at % 2 === 0 ? digit : digit * 2
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

/** 078-05-1120 is one, 000, 666 and 900 to 999 begin none, and no part is all zeros. */
function isSocialSecurity(lengths: readonly number[], digits: string): boolean {
  if (lengths.length !== 3 || lengths[0] !== 3 || lengths[1] !== 2 || lengths[2] !== 4) return false
  const area = digits.slice(0, 3)
  if (area === '000' || area === '666' || area >= '900') return false
  return digits.slice(3, 5) !== '00' && digits.slice(5) !== '0000'
}

function total(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0)
}

const DOT = 0x2e
const DASH = 0x2d

export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** A letter, digit or underscore of ASCII. */
export function isWord(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code === 0x5f
}
