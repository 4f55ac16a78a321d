/** haproxy as a rival: forwarding only, one thread, kept-alive upstream connections. */
import { writeFileSync } from 'node:fs'
import { freePort, startChild, untilAnswers } from '../harness/child.ts'
import { haproxyPath } from '../harness/machine.ts'
import type { Row } from '../harness/target.ts'

const conf = (port: number, upstream: number): string => `
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend clients
  bind 127.0.0.1:${port}
  default_backend api
backend api
  server api 127.0.0.1:${upstream}
`

export const haproxy: Row = {
  name: 'haproxy',
  goal: 'haproxy, forwarding only',
  needs: ['haproxy'],
  start: async (bed, folder) => {
    const port = await freePort()
    const file = `${folder}/haproxy.cfg`
    writeFileSync(file, conf(port, bed.upstream))
    const args = ['-db', '-f', file]
    const child = startChild({ name: 'haproxy', cores: bed.core, command: haproxyPath, args, folder })
    await untilAnswers(child, `http://127.0.0.1:${port}/`)
    return { child, port }
  },
}
