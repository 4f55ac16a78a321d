/** nginx as a rival: forwarding only, and with its own `mirror` directive. One worker, kept alive. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { orderWord } from '../bed/payload.ts'
import type { Bed } from '../harness/bed.ts'
import { freePort, startChild, untilAnswers } from '../harness/child.ts'
import { nginxPath } from '../harness/machine.ts'
import { holds, received, type Row, type Target } from '../harness/target.ts'

interface Parts {
  readonly name: string
  readonly port: number
  /** Directives before `events`. */
  readonly top?: string
  /** Directives of `http`. */
  readonly http?: string
  /** Directives of the location that forwards. */
  readonly location?: string
  /** Further locations. */
  readonly server?: string
}

const user = process.getuid?.() === 0 ? 'user root;' : ''

export const proxied = (upstream: string): string =>
  `proxy_pass http://${upstream}; proxy_http_version 1.1;
  proxy_set_header Connection ''; proxy_set_header Host $host;`

function conf(parts: Parts, bed: Bed): string {
  return `
${parts.top ?? ''}
daemon off; worker_processes 1; ${user} pid nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_timeout 1h; keepalive_requests 1000000000;
  client_body_buffer_size 16k; client_body_in_single_buffer on;
  upstream api {
    server 127.0.0.1:${bed.upstream}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h;
  }
  ${parts.http ?? ''}
  server {
    listen 127.0.0.1:${parts.port};
    location / { ${proxied('api')} ${parts.location ?? ''} }
    ${parts.server ?? ''}
  }
}
`
}

/** Writes the configuration under `folder` and starts nginx on the measured core. */
export async function startNginx(bed: Bed, folder: string, parts: Omit<Parts, 'port'>): Promise<Target> {
  const port = await freePort()
  const prefix = `${folder}/${parts.name}`
  mkdirSync(prefix, { recursive: true })
  writeFileSync(`${prefix}/nginx.conf`, conf({ ...parts, port }, bed))
  const args = ['-p', prefix, '-c', `${prefix}/nginx.conf`, '-e', 'stderr']
  const child = startChild({ name: parts.name, cores: bed.core, command: nginxPath, args, folder })
  await untilAnswers(child, `http://127.0.0.1:${port}/`)
  return { child, port }
}

export const nginxForward: Row = {
  name: 'nginx',
  goal: 'nginx, forwarding only: what a C proxy without any copy costs',
  needs: ['nginx'],
  start: (bed, folder) => startNginx(bed, folder, { name: 'nginx' }),
}

export const nginxMirror: Row = {
  name: 'nginx-mirror',
  goal: 'nginx `mirror`: each request sent once more to the collector, no responses, nothing batched or kept',
  needs: ['nginx'],
  start: async (bed, folder) => {
    const target = await startNginx(bed, folder, {
      name: 'nginx-mirror',
      http: `upstream collector {
        server 127.0.0.1:${bed.collector}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h;
      }`,
      location: 'mirror /mirror; mirror_request_body on;',
      server: `location = /mirror {
        internal; ${proxied('collector')} rewrite ^ /items break; proxy_method POST;
      }`,
    })
    return {
      ...target,
      begin: async () => void (await bed.stats(true)),
      settle: (requests) => received(bed, requests),
    }
  },
  proof: (stats, shape) => holds(stats, shape === 'post' ? [orderWord] : []),
}
