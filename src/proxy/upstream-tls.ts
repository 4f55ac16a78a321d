/** TLS towards the https upstreams of a collection: what its files hold, and what tells two of them apart. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { DataPlan } from './thread-messages.ts'

type TlsPlan = NonNullable<DataPlan['collections'][number]['tls']>

/** What is presented to an https upstream, and what is asked of it. */
export interface UpstreamTls {
  /** An error where the files cannot be used: then no connection comes about. */
  readonly context: SecureContext | Error
  readonly verify: boolean
  readonly serverName: string | undefined
  /** Differs where the rest does, contents of files included. */
  readonly hash: string
}

/** Read anew with every plan, so that a reload brings renewed certificates. */
export function readTls(plan: TlsPlan | undefined): UpstreamTls {
  const hash = createHash('sha256').update(JSON.stringify(plan ?? null))
  const read = (file: string | undefined): Buffer | undefined => {
    if (file === undefined) return undefined
    const content = readFileSync(file)
    hash.update(content)
    return content
  }
  let context: SecureContext | Error
  try {
    context = createSecureContext({
      ca: read(plan?.ca_file),
      cert: read(plan?.cert_file),
      key: read(plan?.key_file),
    })
  } catch (error) {
    context = error instanceof Error ? error : new Error(String(error))
  }
  return {
    context,
    verify: plan?.verify ?? true,
    serverName: plan?.server_name,
    hash: hash.digest('base64'),
  }
}
