/** Rules about the two listening sides. */
import { isIP } from 'node:net'
import type { Draft } from '../draft.ts'

export function checkListen(draft: Draft): void {
  timeouts(draft)
  ports(draft)
  clients(draft)
}

function timeouts(draft: Draft): void {
  const at = '/listen/timeouts'
  if (!draft.sound(at)) return
  const { header_ms, idle_ms, drain_grace_ms, drain_ms } = draft.file.listen.timeouts
  if (drain_grace_ms >= drain_ms) {
    const key = draft.isSet(`${at}/drain_grace_ms`) ? 'drain_grace_ms' : 'drain_ms'
    if (key === 'drain_ms')
      draft.problem(`${at}/drain_ms`, `must be above drain_grace_ms ${drain_grace_ms}, got ${drain_ms}`)
    else draft.problem(`${at}/drain_grace_ms`, `must be below drain_ms ${drain_ms}, got ${drain_grace_ms}`)
  }
  if (idle_ms < header_ms && draft.isSet(at)) {
    const key = draft.isSet(`${at}/idle_ms`) ? 'idle_ms' : 'header_ms'
    draft.warn(
      `${at}/${key}`,
      `idle_ms ${idle_ms} is below header_ms ${header_ms}: idle connections close before slow heads do`,
    )
  }
}

function ports(draft: Draft): void {
  if (!draft.sound('/listen/host', '/listen/port', '/admin/host', '/admin/port')) return
  const { listen, admin } = draft.file
  if (listen.port !== admin.port || listen.port === 0) return
  if (listen.host !== admin.host && !isWildcard(listen.host) && !isWildcard(admin.host)) return
  const key = draft.isSet('/admin/port') ? '/admin/port' : '/listen/port'
  const other = key === '/admin/port' ? 'listen.port' : 'admin.port'
  draft.problem(key, `must differ from ${other}, got ${listen.port} for both`)
}

export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || (isIP(host) === 6 && /^[0:]+$/.test(host))
}

function clients(draft: Draft): void {
  const tokens = new Set<string>()
  for (const { value, pointer } of draft.adminClients()) {
    const at = `${pointer}/token`
    if (!draft.sound(at)) continue
    if (tokens.has(value.token)) draft.problem(at, 'must be unique, another client has the same token')
    tokens.add(value.token)
    if (draft.isClear(at)) draft.warn(at, 'holds a token in clear text, use ${env:NAME}')
  }
}
