/** A real rsyslog on free ports, over UDP, TCP and TLS with client certificates. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { onEnd } from './cleanup.ts'
import { tempDir } from './files.ts'
import { freePorts, listens } from './ports.ts'
import { until } from './wait.ts'

const driver = '/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_ossl.so'

/** Why it cannot be had; null when it can. */
export const missing =
  existsSync('/usr/sbin/rsyslogd') && existsSync(driver)
    ? null
    : 'rsyslog and rsyslog-openssl are not installed'

/** A message as the server understood it. */
export interface Received {
  readonly in: string
  readonly pri: string
  readonly ver: string
  readonly ts: string
  readonly host: string
  readonly app: string
  readonly procid: string
  readonly msgid: string
  readonly sd: string
  readonly msg: string
}

export interface Rsyslog {
  readonly port: number
  readonly tlsPort: number
  /** Folder of `ca.pem`, `client.pem`, `client.key`. */
  readonly tls: string
  received(): Received[]
  start(): Promise<void>
  stop(): Promise<void>
}

export async function startRsyslog(): Promise<Rsyslog> {
  const folder = await tempDir()
  const [port = 0, tlsPort = 0] = await freePorts(2)
  makeCertificates(folder)
  await writeFile(path.join(folder, 'r.conf'), configuration(folder, port, tlsPort))
  let child: ReturnType<typeof spawn> | null = null
  const server: Rsyslog = {
    port,
    tlsPort,
    tls: folder,
    received: () => {
      const file = path.join(folder, 'all.ndjson')
      if (!existsSync(file)) return []
      const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
      return lines.map((line) => JSON.parse(line) as Received)
    },
    async start() {
      const files = ['-f', path.join(folder, 'r.conf'), '-i', path.join(folder, 'pid')]
      child = spawn('/usr/sbin/rsyslogd', ['-n', ...files], { stdio: 'ignore' })
      await until(() => listens(tlsPort), { what: 'rsyslog listens' })
    },
    async stop() {
      const running = child
      child = null
      if (running === null || running.exitCode !== null) return
      running.kill()
      await once(running, 'exit')
    },
  }
  await server.start()
  onEnd(() => server.stop())
  return server
}

function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const ca = [
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
  ]
  openssl(
    'req',
    '-x509',
    ...key,
    '-days',
    '30',
    '-subj',
    '/CN=ca',
    ...ca,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  )
  for (const name of ['server', 'client']) {
    const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    openssl('req', ...key, '-subj', `/CN=${name}`, ...names, '-keyout', `${name}.key`, '-out', `${name}.csr`)
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy']
    openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-days', '30', '-out', `${name}.pem`)
  }
}

function configuration(folder: string, port: number, tlsPort: number): string {
  const property = (outname: string, name: string, more = '') =>
    `property(outname="${outname}" name="${name}" ${more} format="jsonf")`
  return `
global(workDirectory="${folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
 defaultNetstreamDriverCAFile="${folder}/ca.pem" defaultNetstreamDriverCertFile="${folder}/server.pem"
 defaultNetstreamDriverKeyFile="${folder}/server.key")
module(load="imudp") module(load="imptcp")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
template(name="j" type="list" option.jsonf="on") {
 ${property('in', 'inputname')} ${property('pri', 'pri')} ${property('ver', 'protocol-version')}
 ${property('ts', 'timereported', 'dateFormat="rfc3339"')} ${property('host', 'hostname')}
 ${property('app', 'app-name')} ${property('procid', 'procid')} ${property('msgid', 'msgid')}
 ${property('sd', 'structured-data')} ${property('msg', 'msg')} }
ruleset(name="all") { action(type="omfile" file="${folder}/all.ndjson" template="j") }
input(type="imudp" address="127.0.0.1" port="${port}" ruleset="all" name="udp")
input(type="imptcp" address="127.0.0.1" port="${port}" ruleset="all" name="tcp")
input(type="imtcp" address="127.0.0.1" port="${tlsPort}" ruleset="all" name="tls")
`
}
