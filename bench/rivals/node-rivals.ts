/** Rivals that are one small Node script each: http-proxy-3 alone, and a raw TCP relay. */
import { fileURLToPath } from 'node:url'
import type { Bed } from '../harness/bed.ts'
import { firstLine, startChild } from '../harness/child.ts'
import type { Row, Target } from '../harness/target.ts'

async function startScript(bed: Bed, folder: string, name: string): Promise<Target> {
  const script = fileURLToPath(new URL(`./${name}.server.ts`, import.meta.url))
  const args = [script, String(bed.upstream)]
  const child = startChild({ name, cores: bed.core, command: process.execPath, args, folder })
  return { child, port: (await firstLine<{ port: number }>(child)).port }
}

export const httpProxy3: Row = {
  name: 'http-proxy-3',
  goal: 'http-proxy-3 `web()` with a kept-alive agent, forwarding only: the usual Node proxy',
  needs: [],
  start: (bed, folder) => startScript(bed, folder, 'http-proxy-3'),
}

export const tcpRelay: Row = {
  name: 'tcp-relay',
  goal: 'a raw TCP relay in Node, HTTP unread: the floor of what any proxy in Node costs',
  needs: [],
  start: (bed, folder) => startScript(bed, folder, 'tcp-relay'),
}
