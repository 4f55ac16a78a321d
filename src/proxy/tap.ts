/**
 * The capture side of an exchange: decides up front which mirrors may take it, keeps bounded copies of its
 * bodies, and decides at its end which mirrors do. A piece reaches this file only after it was handed to
 * the writer.
 */
import type { DataPlan } from './thread-messages.ts'
import type { KeptBody } from '../queue/slab.ts'
import { fieldValue } from './headers.ts'
import type { Piece } from './pieces.ts'
import type { SlabPool } from './slabs.ts'

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
  readonly #late: boolean

  constructor(plan: MirrorPlan) {
    const { match, capture, sample } = plan
    this.slot = plan.slot
    this.requestBytes = capture.request_body ? capture.body_bytes : 0
    this.responseBytes = capture.response_body ? capture.body_bytes : 0
    this.#plan = plan
    const [kind = '', name = ''] = (sample.key ?? '').split(':')
    this.#keyKind = kind as KeyKind
    this.#keyName = kind === 'header' ? name.toLowerCase() : name
    this.#late = match.statuses.length + match.content_types.length + match.min_duration_ms > 0
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
    if (!this.#late) return true
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

/** Pieces below this are gathered into blocks, so that a body of 1-byte chunks costs what its bytes cost. */
const GATHER_BELOW_BYTES = 2048
const BLOCK_BYTES_MIN = 4096
/** A buffer is kept by reference unless the memory behind it is larger than its bytes by more than this. */
const SLACK_BYTES_MAX = 1024
/** What a kept string takes beside its characters. */
const STRING_BYTES = 24

/** The kept part of one body. Every byte is taken from the budget before it is kept. */
export class BodyKeep implements KeptBody {
  readonly pieces: (Uint8Array | string)[] = []
  kept = 0
  size = 0
  limited = false
  readonly #max: number
  /** Bytes taken from the budget. */
  #cost = 0
  /** The last piece, while it has room; `#blockUsed` of it is filled. */
  #block: Buffer | null = null
  #blockUsed = 0

  constructor(max: number) {
    this.#max = max
  }

  add(whole: Piece, slabs: SlabPool): void {
    this.size += whole.length
    const room = this.#max - this.kept
    if (room <= 0 || this.limited || whole.length === 0) return
    const piece = whole.length > room ? firstOf(whole, room) : whole
    const gather = piece.length < GATHER_BELOW_BYTES && (this.pieces.length > 0 || this.#block !== null)
    if (gather || slackOf(piece) > SLACK_BYTES_MAX) {
      this.#copy(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece, slabs)
    } else this.#refer(piece, slabs)
  }

  #refer(piece: Piece, slabs: SlabPool): void {
    const cost = typeof piece === 'string' ? piece.length + STRING_BYTES : piece.buffer.byteLength
    if (!slabs.reserve(cost)) {
      this.limited = true
      return
    }
    this.#closeBlock()
    this.#cost += cost
    this.pieces.push(piece)
    this.kept += piece.length
  }

  #copy(piece: Buffer, slabs: SlabPool): void {
    let from = 0
    while (from < piece.length) {
      if (this.#block === null && !this.#openBlock(piece.length - from, slabs)) return
      const block = this.#block as unknown as Buffer
      const count = Math.min(piece.length - from, block.length - this.#blockUsed)
      block.set(piece.subarray(from, from + count), this.#blockUsed)
      this.#blockUsed += count
      this.kept += count
      from += count
      if (this.#blockUsed === block.length) this.#closeBlock()
    }
  }

  /** A new block: as large as what is kept so far, so that copies stay cheap, but never past the cap. */
  #openBlock(atLeast: number, slabs: SlabPool): boolean {
    const wanted = Math.max(BLOCK_BYTES_MIN, atLeast, Math.min(this.kept, 65_536))
    const bytes = Math.min(wanted, this.#max - this.kept)
    if (!slabs.reserve(bytes)) {
      this.limited = true
      return false
    }
    this.#cost += bytes
    this.#block = Buffer.allocUnsafeSlow(bytes)
    this.#blockUsed = 0
    return true
  }

  #closeBlock(): void {
    if (this.#block !== null && this.#blockUsed > 0)
      this.pieces.push(this.#block.subarray(0, this.#blockUsed))
    this.#block = null
  }

  /** Makes `pieces` complete. */
  close(): void {
    this.#closeBlock()
  }

  /** Forgets what was kept and gives its bytes back to the budget. */
  release(slabs: SlabPool): void {
    slabs.release(this.#cost)
    this.#cost = 0
    this.pieces.length = 0
    this.#block = null
  }
}

function firstOf(piece: Piece, length: number): Piece {
  return typeof piece === 'string' ? piece.slice(0, length) : piece.subarray(0, length)
}

function slackOf(piece: Piece): number {
  return typeof piece === 'string' ? 0 : piece.buffer.byteLength - piece.length
}

export function slotsOf(rules: readonly MirrorRule[]): number[] {
  return rules.map(({ slot }) => slot)
}

/** What of one exchange is kept for its mirrors. */
export class Tap {
  readonly rules: readonly MirrorRule[]
  readonly request: BodyKeep
  readonly response: BodyKeep
  readonly #slabs: SlabPool

  constructor(rules: readonly MirrorRule[], slabs: SlabPool) {
    this.rules = rules
    this.#slabs = slabs
    let requestBytes = 0
    let responseBytes = 0
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i] as MirrorRule
      if (rule.requestBytes > requestBytes) requestBytes = rule.requestBytes
      if (rule.responseBytes > responseBytes) responseBytes = rule.responseBytes
    }
    this.request = new BodyKeep(requestBytes)
    this.response = new BodyKeep(responseBytes)
  }

  requestPiece(piece: Piece): void {
    this.request.add(piece, this.#slabs)
  }

  responsePiece(piece: Piece): void {
    this.response.add(piece, this.#slabs)
  }

  /** Slots of the mirrors that take the exchange. */
  takers(status: number | null, answerLines: string, durationMs: number): number[] {
    const slots: number[] = []
    for (let i = 0; i < this.rules.length; i++) {
      const rule = this.rules[i] as MirrorRule
      if (rule.takes(status, answerLines, durationMs)) slots.push(rule.slot)
    }
    return slots
  }

  release(): void {
    this.request.release(this.#slabs)
    this.response.release(this.#slabs)
  }
}

/** A tap for a request that at least one mirror may take; null otherwise. */
export function openTap(rules: readonly MirrorRule[], request: Sampled, slabs: SlabPool): Tap | null {
  let taking: MirrorRule[] | null = null
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i] as MirrorRule
    if (rule.mayTake(request)) (taking ??= []).push(rule)
  }
  return taking === null ? null : new Tap(taking, slabs)
}
