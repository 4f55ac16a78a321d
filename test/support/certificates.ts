/** Certificates for servers of tests, made by openssl: a self-signed one is its own authority. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: Buffer
  readonly key: Buffer
}

/** For localhost and 127.0.0.1, ending in so many days. */
export function makeCertificate(folder: string, { days = 30, name = 'server' } = {}): Certificate {
  const certFile = join(folder, `${name}.pem`)
  const keyFile = join(folder, `${name}.key`)
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const files = ['-keyout', keyFile, '-out', certFile]
  execFileSync('openssl', ['req', '-x509', ...curve, '-days', String(days), ...subject, ...files], {
    stdio: 'pipe',
  })
  return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) }
}
