/** The test bed of a run: upstream and collector in their own processes on the load core, a closed port. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { answerBody } from '../bed/payload.ts'
import { type Child, firstLine, freePort, startChild, untilAnswers } from './child.ts'
import { type Machine, nginxPath } from './machine.ts'

export interface CollectorStats {
  requests: number
  items: number
  bytes: number
  /** Start of the latest body by path. */
  samples: Record<string, string>
}

export interface Bed {
  readonly machine: Machine
  /** Temporary folder of this run. */
  readonly folder: string
  /** Core of what is measured. */
  readonly core: string
  /** Core of everything else. */
  readonly loadCore: string
  readonly upstream: number
  readonly collector: number
  readonly hung: number
  readonly dead: number
  readonly children: readonly Child[]
  stats(reset?: boolean): Promise<CollectorStats>
  close(): Promise<void>
}

const upstreamConf = (port: number): string => `
daemon off; master_process off; pid upstream.pid; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_timeout 1h; keepalive_requests 1000000000; default_type application/json;
  server { listen 127.0.0.1:${port}; location / { return 200 '${answerBody}'; } }
}
`

/** nginx is the cheapest upstream, so the one that limits least; node:http where it is missing. */
async function startUpstream(
  machine: Machine,
  folder: string,
  cores: string,
): Promise<{ child: Child; port: number }> {
  if (machine.tools.nginx === null) {
    const script = fileURLToPath(new URL('../bed/upstream.ts', import.meta.url))
    const child = startChild({ name: 'upstream', cores, command: process.execPath, args: [script], folder })
    return { child, port: (await firstLine<{ port: number }>(child)).port }
  }
  const port = await freePort()
  const prefix = `${folder}/upstream`
  mkdirSync(prefix)
  writeFileSync(`${prefix}/nginx.conf`, upstreamConf(port))
  const args = ['-p', prefix, '-c', `${prefix}/nginx.conf`, '-e', 'stderr']
  return { child: startChild({ name: 'upstream', cores, command: nginxPath, args, folder }), port }
}

export async function openBed(machine: Machine, folder: string): Promise<Bed> {
  const core = '0'
  const loadCore = machine.cores > 1 ? '1' : '0'
  const upstream = await startUpstream(machine, folder, loadCore)
  const script = fileURLToPath(new URL('../bed/collector.ts', import.meta.url))
  const command = process.execPath
  const collector = startChild({ name: 'collector', cores: loadCore, command, args: [script], folder })
  const ports = await firstLine<{ port: number; hungPort: number }>(collector)
  await untilAnswers(upstream.child, `http://127.0.0.1:${upstream.port}/`)
  const children = [upstream.child, collector]
  return {
    machine,
    folder,
    core,
    loadCore,
    upstream: upstream.port,
    collector: ports.port,
    hung: ports.hungPort,
    dead: await freePort(),
    children,
    stats: async (reset = false) => {
      const answer = await fetch(`http://127.0.0.1:${ports.port}/stats${reset ? '?reset' : ''}`)
      return (await answer.json()) as CollectorStats
    },
    close: async () => {
      await Promise.all(children.map((child) => child.stop()))
    },
  }
}
