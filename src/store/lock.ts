/**
 * The lock of a data folder: a Unix socket in it. The kernel frees it with the process, whatever ends that,
 * and it holds between containers that share the folder, where process ids mean nothing.
 */
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { StartError } from '../contract/errors.ts'

export interface DataLock {
  release(): Promise<void>
}

/** Makes the data folder (0700) and locks it; throws StartError when it is in use or cannot be written. */
export async function lockDataDir(dataDir: string): Promise<DataLock> {
  makeWritable(dataDir)
  // A socket's path is limited to 107 bytes; through the folder's descriptor it is always short (Linux).
  const folder = fs.openSync(dataDir, fs.constants.O_RDONLY)
  const short = process.platform === 'linux' ? `/proc/self/fd/${folder}/lock` : path.join(dataDir, 'lock')
  const inUse = new StartError(
    `data_dir ${dataDir} is in use by another mirrorgate: stop that one, or give this one its own data_dir`,
  )
  for (let attempt = 0; attempt < 2; attempt++) {
    const server = await bind(short)
    if (server !== null) return release(server, short, folder)
    if (await isAlive(short)) break
    fs.rmSync(short, { force: true })
  }
  fs.closeSync(folder)
  throw inUse
}

function makeWritable(dataDir: string): void {
  const probe = path.join(dataDir, '.write-test')
  try {
    makeFolder(dataDir)
    // The store keeps refused items with their bodies: nobody else may look, whoever made the folder.
    fs.chmodSync(dataDir, 0o700)
    fs.writeFileSync(probe, '', { mode: 0o600 })
    fs.rmSync(probe)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`data_dir ${dataDir} must be a folder this user can write to: ${reason}`)
  }
}

/** One level at a time: mkdir's own `recursive` never returns below /proc, where nothing can be made. */
function makeFolder(folder: string): void {
  if (fs.existsSync(folder)) return
  const parent = path.dirname(folder)
  if (parent !== folder) makeFolder(parent)
  fs.mkdirSync(folder, { mode: 0o700 })
}

function bind(address: string): Promise<net.Server | null> {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    )
    server.listen(address, () => resolve(server.unref()))
  })
}

function isAlive(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(address)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function release(server: net.Server, address: string, folder: number): DataLock {
  return {
    release: () =>
      new Promise((resolve) => {
        server.close(() => {
          fs.rmSync(address, { force: true })
          fs.closeSync(folder)
          resolve()
        })
      }),
  }
}
