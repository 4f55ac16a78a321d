/** Asks whether anything listens at a destination, without sending a byte. */
import { connect } from 'node:net'
import type { ProbeTask } from '../contract/tasks.ts'

/** Opens and closes a TCP connection to the host of a URL. One without a port (a file) is always there. */
export async function probe(task: ProbeTask): Promise<boolean> {
  if (!URL.canParse(task.url)) return false
  const { protocol, hostname, port } = new URL(task.url)
  // A port of another protocol's own is named; datagrams have nobody to ask.
  const isWeb = protocol === 'http:' || protocol === 'https:'
  if (!isWeb && (port === '' || protocol.endsWith('udp:'))) return true
  const host = hostname.replace(/^\[|\]$/g, '')
  const settled = Promise.withResolvers<boolean>()
  const socket = connect({ host, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) })
  const timer = setTimeout(() => settled.resolve(false), task.timeoutMs)
  socket.once('connect', () => settled.resolve(true))
  socket.once('error', () => settled.resolve(false))
  const reachable = await settled.promise
  clearTimeout(timer)
  socket.destroy()
  return reachable
}
