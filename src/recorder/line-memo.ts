/**
 * The lines of a header list as they were written last, by their place: most lists repeat the one before line
 * by line, and what a line becomes follows from its bytes alone.
 */
import type { ItemBuffer } from './item-buffer.ts'

/** Lines beyond them, longer ones and larger pairs are written anew each time. */
const PLACES = 24
const LINE_BYTES_MAX = 256
const PAIR_BYTES_MAX = 512
/** Bytes at a time. */
const WORD = 4

/** `Note`: what a line says beside its pair. */
export class LineMemo<Note> {
  readonly #lines = new DataView(new ArrayBuffer(PLACES * LINE_BYTES_MAX))
  /** Of each line, its CRLF included; 0 where none is kept. */
  readonly #lineBytes = new Int32Array(PLACES)
  readonly #pairs = new DataView(new ArrayBuffer(PLACES * PAIR_BYTES_MAX))
  readonly #pairBytes = new Int32Array(PLACES)
  readonly #notes = new Array<Note | null>(PLACES).fill(null)

  /** Bytes of the line at `at` when it is the one that is kept for its place; 0 when it is not. */
  match(place: number, bytes: DataView, at: number, to: number): number {
    const length = place < PLACES ? (this.#lineBytes[place] as number) : 0
    if (length === 0 || at + length > to) return 0
    const lines = this.#lines
    const shift = place * LINE_BYTES_MAX - at
    const last = at + length - WORD
    for (let from = at; from < last; from += WORD)
      if (bytes.getInt32(from, true) !== lines.getInt32(from + shift, true)) return 0
    return bytes.getInt32(last, true) === lines.getInt32(last + shift, true) ? length : 0
  }

  /** Of a line that matched; null: nothing. */
  note(place: number): Note | null {
    return this.#notes[place] as Note | null
  }

  /** Of a line that matched; 0: it has no pair. */
  pairBytes(place: number): number {
    return this.#pairBytes[place] as number
  }

  /** Appends the pair of a line that matched. */
  append(place: number, out: ItemBuffer): void {
    out.copy(this.#pairs, place * PAIR_BYTES_MAX, this.#pairBytes[place] as number)
  }

  /** Keeps the line in [from, to), and as its pair what `out` holds from `pairAt` on. */
  keep(
    place: number,
    bytes: DataView,
    from: number,
    to: number,
    out: ItemBuffer,
    pairAt: number,
    note: Note | null,
  ): void {
    if (place >= PLACES) return
    // A line that is left out has none, nor what stands between two of them.
    const pairBytes = Math.max(0, out.length - pairAt)
    const fits = to - from >= WORD && to - from <= LINE_BYTES_MAX && pairBytes <= PAIR_BYTES_MAX
    this.#lineBytes[place] = fits ? to - from : 0
    if (!fits) return
    const lines = this.#lines
    const shift = place * LINE_BYTES_MAX - from
    const last = to - WORD
    for (let at = from; at < last; at += WORD) lines.setInt32(at + shift, bytes.getInt32(at, true), true)
    lines.setInt32(last + shift, bytes.getInt32(last, true), true)
    out.copyTo(this.#pairs, place * PAIR_BYTES_MAX, pairAt)
    this.#pairBytes[place] = pairBytes
    this.#notes[place] = note
  }
}
