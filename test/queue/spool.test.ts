/** What a segment holds survives cuts and flipped bits: whole frames come back, the rest is named. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { FRAME_HEADER, type SegmentFrame, segmentName, writerOf } from '../../src/queue/spool-format.ts'
import { indexSegment, readRange } from '../../src/queue/spool-reader.ts'
import { markBatch, SegmentWriter } from '../../src/queue/spool.ts'
import { tempDir } from '../support/files.ts'
import { until } from '../support/wait.ts'

const options = { segmentBytes: 1 << 20, fsyncMs: 0 }
const leg = { parked: false }

function info(items: number, sequence = 1) {
  return { items, oldest: 1000 + sequence, newest: 2000 + sequence, thread: 3, sequence }
}

/** Keeps every thread that does file work busy: each opens a pipe, and waits for its other end. */
function blockedThreads(folder: string): () => Promise<void> {
  const pipes = Array.from({ length: 16 }, (_, at) => path.join(folder, `pipe-${at}`))
  execFileSync('mkfifo', pipes)
  const opened = pipes.map((pipe) => open(pipe, 'r'))
  return async () => {
    // Open for both ways it waits for nobody.
    const ends = pipes.map((pipe) => fs.openSync(pipe, 'r+'))
    for (const handle of await Promise.all(opened)) await handle.close()
    for (const end of ends) fs.closeSync(end)
  }
}

function linkOf(fd: string): string | null {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    // The one of the folder that was listed.
    return null
  }
}

/** Those in a folder, removed ones included. */
function openFiles(folder: string): string[] {
  const files = fs.readdirSync('/proc/self/fd').flatMap((fd) => linkOf(fd) ?? [])
  return files.filter((file) => file.startsWith(folder)).toSorted()
}

/** A segment of three frames with 1, 2 and 3 items. */
async function segment() {
  const folder = await tempDir()
  const writer = new SegmentWriter(folder, options)
  const frames = [1, 2, 3].map((items) =>
    writer.append(Buffer.from(`{"n":${items}}\n`.repeat(items)), info(items, items), leg),
  )
  writer.close()
  const file = path.join(folder, frames[0]?.segment as string)
  return { folder, file, frames, writer }
}

describe('a segment', () => {
  it('gives back frames with their items, times and origin', async () => {
    const { file, frames } = await segment()
    const index = await indexSegment({ path: file, from: 0, verify: true })
    expect(index.frames.map(({ items }) => items)).toEqual([1, 2, 3])
    expect(index.frames[1]).toMatchObject({
      offset: frames[1]?.offset,
      oldest: 1002,
      newest: 2002,
      thread: 3,
      sequence: 2,
    })
    expect(index).toMatchObject({ corrupt: [], skipped: 0, end: fs.statSync(file).size })
  })

  it.each([true, false])('reads a range as NDJSON without its headers, fresh: %s', async (fresh) => {
    const { file, frames } = await segment()
    const to = (frames[2]?.offset as number) + (frames[2]?.length as number)
    const range = await readRange({ path: file, from: frames[1]?.offset as number, to, fresh })
    expect(range.ndjson.toString()).toBe('{"n":2}\n{"n":2}\n{"n":3}\n{"n":3}\n{"n":3}\n')
    expect(range).toMatchObject({ items: 5, corrupt: [] })
  })

  it('gives back every whole frame wherever its tail was torn off', async () => {
    const { file, frames } = await segment()
    const whole = fs.readFileSync(file)
    for (let size = 0; size < whole.length; size += 1) {
      fs.writeFileSync(file, whole.subarray(0, size))
      const index = await indexSegment({ path: file, from: 0, verify: true })
      const expected = frames.filter(({ offset, length }) => offset + length <= size).length
      expect(index.frames, `cut at ${size}`).toHaveLength(expected)
      expect(index.corrupt).toEqual([])
    }
  })

  it('names the frame whose payload has a flipped bit, and keeps the others', async () => {
    const { file, frames } = await segment()
    const bytes = fs.readFileSync(file)
    const at = (frames[1]?.offset as number) + FRAME_HEADER + 2
    bytes[at] = (bytes[at] as number) ^ 1
    fs.writeFileSync(file, bytes)
    const index = await indexSegment({ path: file, from: 0, verify: true })
    expect(index.frames.map(({ items }) => items)).toEqual([1, 3])
    expect(index.corrupt).toMatchObject([{ items: 2, offset: frames[1]?.offset }])
    const range = await readRange({ path: file, from: 16, to: bytes.length, fresh: false })
    expect(range.items).toBe(4)
    expect(range.corrupt).toMatchObject([{ items: 2, offset: frames[1]?.offset }])
    const fresh = await readRange({ path: file, from: 16, to: bytes.length, fresh: true })
    expect(fresh, 'what no disk can have changed is not checked').toMatchObject({ items: 6, corrupt: [] })
  })

  it('steps over a frame whose header has a flipped bit', async () => {
    const { file, frames } = await segment()
    const bytes = fs.readFileSync(file)
    const at = (frames[1]?.offset as number) + 9
    bytes[at] = (bytes[at] as number) ^ 1
    fs.writeFileSync(file, bytes)
    const index = await indexSegment({ path: file, from: 0, verify: true })
    expect(index.frames.map(({ items }) => items)).toEqual([1, 3])
    expect(index.skipped).toBe(frames[1]?.length)
  })

  it('says which batch begins with a frame once that is marked, and is as sound as before', async () => {
    const { file, frames } = await segment()
    const [first, second] = frames as [SegmentFrame, SegmentFrame]
    markBatch(file, second.offset, 12_345)
    markBatch(file, first.offset, 0xffff_ffff)
    markBatch(file, first.offset, first.length + second.length)
    const index = await indexSegment({ path: file, from: 0, verify: true })
    expect(index).toMatchObject({ corrupt: [], skipped: 0 })
    expect(index.frames.map(({ batchBytes }) => batchBytes)).toEqual([
      first.length + second.length,
      12_345,
      0,
    ])
    expect(
      await readRange({ path: file, from: first.offset, to: fs.statSync(file).size, fresh: true }),
    ).toMatchObject({
      items: 6,
      corrupt: [],
    })
  })

  it('of version 1, which had no marks, is read; of a version to come it is left alone', async () => {
    const { file } = await segment()
    const bytes = fs.readFileSync(file)
    const ofVersion = (version: number) => {
      fs.writeFileSync(file, bytes.with(6, version))
      return indexSegment({ path: file, from: 0, verify: true })
    }
    const { frames } = await ofVersion(1)
    expect(frames).toMatchObject([1, 2, 3].map((items) => ({ items, batchBytes: 0 })))
    expect(await ofVersion(3)).toMatchObject({ frames: [], end: 0, skipped: bytes.length })
  })

  it('never throws for a file that is no segment', async () => {
    const file = path.join(await tempDir(), 'x.seg')
    for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(5000, 0xff)]) {
      fs.writeFileSync(file, bytes)
      const index = await indexSegment({ path: file, from: 0, verify: true })
      expect(index).toMatchObject({ frames: [], corrupt: [], skipped: bytes.length })
    }
  })
})

describe('a segment writer', () => {
  it('rolls by size, and says which segments it closed', async () => {
    const writer = new SegmentWriter(await tempDir(), { segmentBytes: 200, fsyncMs: 1000 })
    const names = [1, 2, 3].map((n) => writer.append(Buffer.alloc(100, 0x20), info(1, n), leg).segment)
    expect(new Set(names).size).toBe(3)
    expect(writer.takeClosed()).toEqual(names.slice(0, 2))
    expect(writer.takeClosed()).toEqual([])
    writer.close()
    expect(writer.takeClosed()).toEqual(names.slice(2))
  })

  it('writes a frame above the segment size into a segment of its own', async () => {
    const writer = new SegmentWriter(await tempDir(), { segmentBytes: 200, fsyncMs: 1000 })
    const small = writer.append(Buffer.alloc(10), info(1), leg)
    const big = writer.append(Buffer.alloc(1000), info(1), leg)
    expect(big.segment).not.toBe(small.segment)
    expect(big.offset).toBe(16)
    writer.close()
  })

  it('says why it cannot write, and writes again when it can', async () => {
    const folder = path.join(await tempDir(), 'leg')
    fs.writeFileSync(folder, 'a file where the folder should be')
    const writer = new SegmentWriter(folder, options)
    expect(() => writer.append(Buffer.from('{}\n'), info(1), leg)).toThrow(/EEXIST|ENOTDIR/)
    fs.rmSync(folder)
    expect(writer.append(Buffer.from('{}\n'), info(1), leg).offset).toBe(16)
    writer.close()
  })

  it('is closed under a sync that waits: its descriptor stays its own until that is over', async () => {
    const folder = await tempDir()
    const writer = new SegmentWriter(folder, { segmentBytes: 1 << 20, fsyncMs: 1 })
    const release = blockedThreads(folder)
    const frame = writer.append(Buffer.from('{}\n'), info(1), leg)
    const file = path.join(folder, frame.segment)
    // Timers go off in the order in which they are due: the sync has been asked for, and nobody does it.
    await new Promise((resolve) => setTimeout(resolve, 5))
    try {
      writer.close()
      expect(openFiles(folder)).toContain(file)
    } finally {
      await release()
    }
    await until(() => !openFiles(folder).includes(file), { what: 'the descriptor is closed' })
  })

  it('keeps full segments open until they are flushed, or removed because they were delivered', async () => {
    const folder = await tempDir()
    const writer = new SegmentWriter(folder, { segmentBytes: 200, fsyncMs: 3_600_000 })
    const append = () => path.join(folder, writer.append(Buffer.alloc(100, 0x20), info(1), leg).segment)
    const files = Array.from({ length: limits.segments_unflushed_max + 1 }, append)
    expect(openFiles(folder)).toEqual(files)
    files.push(append())
    expect(openFiles(folder), 'the oldest had to be flushed').toEqual(files.slice(1))
    const delivered = files.slice(1, limits.segments_unflushed_max + 1)
    for (const file of delivered) fs.rmSync(file)
    files.push(append())
    expect(openFiles(folder), 'the last two').toEqual(files.slice(-2))
    writer.close()
    expect(openFiles(folder)).toEqual([])
  })

  it('says why it cannot flush, and goes on', async () => {
    const folder = await tempDir()
    const writer = new SegmentWriter(folder, { segmentBytes: 200, fsyncMs: 3_600_000 })
    const append = () => writer.append(Buffer.alloc(100, 0x20), info(1), leg)
    append()
    // In its place a file that no disk stands behind.
    const fds = fs.readdirSync('/proc/self/fd').filter((fd) => linkOf(fd)?.startsWith(folder))
    const [fd] = fds.map(Number)
    fs.closeSync(fd as number)
    const others: number[] = []
    for (let next = -1; next !== fd; others.push(next)) next = fs.openSync('/proc/self/status', 'r')
    for (const other of others) if (other !== fd) fs.closeSync(other)
    for (let full = 0; full <= limits.segments_unflushed_max; full++) append()
    expect(writer.takeSyncError()).toMatchObject({ code: 'EINVAL', syscall: 'fdatasync' })
    expect(writer.takeSyncError()).toBeNull()
    writer.close()
  })

  it('flushes and closes full segments in its own time', async () => {
    const folder = await tempDir()
    const writer = new SegmentWriter(folder, { segmentBytes: 200, fsyncMs: 1 })
    const full = [1, 2, 3].map((n) => writer.append(Buffer.alloc(100, 0x20), info(1, n), leg).segment)
    const last = path.join(folder, full.pop() as string)
    await until(() => openFiles(folder).length === 1, { what: 'the full ones are closed' })
    expect(openFiles(folder)).toEqual([last])
    writer.close()
  })

  it('makes files that only their owner can read', async () => {
    const { file } = await segment()
    expect(fs.statSync(file).mode & 0o777).toBe(0o600)
  })

  it('names segments so that they sort by creation and tell their writer', () => {
    const names = [segmentName(1), segmentName(Date.now()), segmentName(Date.now() + 1), segmentName(9e12)]
    expect(names.toSorted()).toEqual(names)
    expect(names.map(writerOf)).toEqual([0, 0, 0, 0])
  })
})
