/** Lines of the Common Event Format, version 0 (OpenText CEF Implementation Standard, v27). */
import { limits } from '../contract/limits.ts'

export type CefPair = readonly [key: string, value: string | number | boolean]

export interface CefEvent {
  /** Of the device: vendor, product, version. */
  readonly device: readonly [string, string, string]
  readonly classId: string
  readonly name: string
  /** 0 to 10. */
  readonly severity: number
  /** Each key once. */
  readonly pairs: readonly CefPair[]
}

/** The standard's length of vendor, product, version, class id and name. */
const headerChars = [63, 63, 31, 1023, 512] as const

/** One line without a newline, whatever the values hold. */
export function cefLine({ device, classId, name, severity, pairs }: CefEvent): string {
  const header = [...device, classId, name].map((value, at) => headerValue(value, headerChars[at] ?? 0))
  const extension = pairs.map((pair) => cefPair(pair)).join(' ')
  return `CEF:0|${header.join('|')}|${severity}|${extension}`
}

export function cefPair([key, value]: CefPair): string {
  return `${key}=${typeof value === 'string' ? extensionValue(value) : value}`
}

/** A header knows no escape for a line break. */
function headerValue(value: string, charsMax: number): string {
  const plain = value.slice(0, charsMax).toWellFormed()
  return plain.replace(/[\r\n]+/g, ' ').replace(/[\\|]/g, '\\$&')
}

function extensionValue(value: string): string {
  const plain = value.slice(0, limits.cef_value_chars_max).toWellFormed()
  return plain.replace(/[\\=]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
}
