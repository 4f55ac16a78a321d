/** Small file systems for tests that fill a disk or take writing away; as root on Linux only. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onEnd } from '../support/cleanup.ts'

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: 'pipe' })
}

/** Mounts a tmpfs of that size for the test. */
export function mountSmall(folder: string, bytes: number): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  run('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs', folder)
  onEnd(() => run('umount', '-l', folder))
}

/** Mounts a tmpfs in which no file can be made for the test: its only inode is the folder's. */
export function mountWithoutInodes(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  run('mount', '-t', 'tmpfs', '-o', 'size=8m,nr_inodes=1,mode=0700', 'tmpfs', folder)
  onEnd(() => run('umount', '-l', folder))
}

/** Takes writing away from a folder for the test: permissions stop no root, a read-only mount does. */
export function makeReadOnly(folder: string): void {
  run('mount', '--bind', folder, folder)
  onEnd(() => run('umount', '-l', folder))
  run('mount', '-o', 'remount,ro,bind', folder)
}

/** Whether this process may mount at all. */
export const canMount: boolean = (() => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const folder = mkdtempSync(join(tmpdir(), 'mirrorgate-mount-'))
  try {
    run('mount', '-t', 'tmpfs', '-o', 'size=65536', 'tmpfs', folder)
    run('umount', folder)
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})()
