/** Which mirrors take an exchange: what its request decides up front, and its answer at the end. */
import { fieldValue } from './headers.ts'
import type { DataPlan } from './thread-messages.ts'

type MirrorPlan = DataPlan['mirrors'][number]

/** `*` stands for any run of characters. Two pointers and one step back: no pattern can make it slow. */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let retry = 0
  while (t < text.length) {
    if (p < pattern.length && pattern.charCodeAt(p) === 0x2a) {
      star = p++
      retry = t
    } else if (p < pattern.length && pattern.charCodeAt(p) === text.charCodeAt(t)) {
      p++
      t++
    } else if (star !== -1) {
      p = star + 1
      t = ++retry
    } else return false
  }
  while (p < pattern.length && pattern.charCodeAt(p) === 0x2a) p++
  return p === pattern.length
}

/**
 * FNV-1a with a final mix (murmur3's), as a share of 1: the same key gives the same share in every process.
 */
export function shareOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 0x1_0000_0000
}

function cookieValue(header: string, name: string): string {
  for (const part of header.split(';')) {
    const equals = part.indexOf('=')
    if (equals !== -1 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim()
  }
  return ''
}

function anyGlob(patterns: readonly string[], text: string): boolean {
  for (let i = 0; i < patterns.length; i++) if (globMatches(patterns[i] as string, text)) return true
  return false
}

/** What the decision up front needs of a request. */
export interface Sampled {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly clientIp: string
  readonly requestLines: string
}

type KeyKind = '' | 'client_ip' | 'header' | 'cookie'

/** One mirror as a data thread needs it. */
export class MirrorRule {
  readonly slot: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly #plan: MirrorPlan
  readonly #keyKind: KeyKind
  readonly #keyName: string
  /** Whether the answer decides too. */
  readonly late: boolean

  constructor(plan: MirrorPlan) {
    const { match, capture, sample } = plan
    this.slot = plan.slot
    this.requestBytes = capture.request_body ? capture.body_bytes : 0
    this.responseBytes = capture.response_body ? capture.body_bytes : 0
    this.#plan = plan
    const [kind = '', name = ''] = (sample.key ?? '').split(':')
    this.#keyKind = kind as KeyKind
    this.#keyName = kind === 'header' ? name.toLowerCase() : name
    this.late = match.statuses.length + match.content_types.length + match.min_duration_ms > 0
  }

  #sampleKey(request: Sampled): string {
    switch (this.#keyKind) {
      case 'client_ip':
        return request.clientIp
      case 'header':
        return fieldValue(request.requestLines, this.#keyName)
      case 'cookie':
        return cookieValue(fieldValue(request.requestLines, 'cookie'), this.#keyName)
      default:
        return ''
    }
  }

  /** What the request alone can decide; a request without the key is sampled by its own id. */
  mayTake(request: Sampled): boolean {
    const { match, sample } = this.#plan
    if (match.methods.length > 0 && !match.methods.includes(request.method)) return false
    if (match.paths.length > 0 && !anyGlob(match.paths, request.path)) return false
    if (match.exclude_paths.length > 0 && anyGlob(match.exclude_paths, request.path)) return false
    if (sample.rate >= 1) return true
    return shareOf(this.#sampleKey(request) || request.id) < sample.rate
  }

  takes(status: number | null, answerLines: string, durationMs: number): boolean {
    if (!this.late) return true
    const { match } = this.#plan
    if (durationMs < match.min_duration_ms) return false
    if (match.statuses.length > 0 && !statusMatches(match.statuses, status)) return false
    if (match.content_types.length === 0) return true
    const media = (fieldValue(answerLines, 'content-type').split(';')[0] as string).trim().toLowerCase()
    return match.content_types.some((type) => globMatches(type.toLowerCase(), media))
  }
}

function statusMatches(statuses: readonly string[], status: number | null): boolean {
  if (status === null) return false
  return statuses.includes(String(status)) || statuses.includes(`${Math.floor(status / 100)}xx`)
}

/** Mirrors that may take the same exchanges, and what they want of them. */
export class RuleSet {
  readonly rules: readonly MirrorRule[]
  readonly slots: readonly number[]
  /** Bytes that the mirror which wants most keeps of a body. */
  readonly requestBytes: number
  readonly responseBytes: number
  /** Whether the answer decides too. */
  readonly #late: boolean

  constructor(rules: readonly MirrorRule[]) {
    const slots: number[] = []
    let requestBytes = 0
    let responseBytes = 0
    let late = false
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i] as MirrorRule
      slots.push(rule.slot)
      if (rule.requestBytes > requestBytes) requestBytes = rule.requestBytes
      if (rule.responseBytes > responseBytes) responseBytes = rule.responseBytes
      late ||= rule.late
    }
    this.rules = rules
    this.slots = slots
    this.requestBytes = requestBytes
    this.responseBytes = responseBytes
    this.#late = late
  }

  /** The mirrors that may take a request; null: none of them. */
  taking(request: Sampled): RuleSet | null {
    const { rules } = this
    for (let i = 0; i < rules.length; i++) {
      if (!(rules[i] as MirrorRule).mayTake(request)) return without(rules, i, request)
    }
    return rules.length === 0 ? null : this
  }

  /** Slots of the mirrors that take the exchange. */
  takers(status: number | null, answerLines: string, durationMs: number): readonly number[] {
    if (!this.#late) return this.slots
    const taking = this.rules.filter((rule) => rule.takes(status, answerLines, durationMs))
    return taking.map(({ slot }) => slot)
  }
}

/** The rules that may take a request: those before `refusing` do, and that one does not. */
function without(rules: readonly MirrorRule[], refusing: number, request: Sampled): RuleSet | null {
  const taking = rules.slice(0, refusing)
  for (let i = refusing + 1; i < rules.length; i++) {
    const rule = rules[i] as MirrorRule
    if (rule.mayTake(request)) taking.push(rule)
  }
  return taking.length === 0 ? null : new RuleSet(taking)
}
