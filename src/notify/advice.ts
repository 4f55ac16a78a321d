/** What to do about an incident: steps by kind, by destination and by what it said. */
import type { FactsMirror, Incident, IncidentFacts } from '../contract/incidents.ts'

/** One step; commands stand on lines of their own, to be copied. */
export interface Step {
  readonly text: string
  readonly command?: string
}

/** By sink: what signs in there, and the permission that writing takes. */
const access: Readonly<Record<string, { readonly credential: string; readonly permission: string }>> = {
  salt: {
    credential:
      'the traffic collector token; ask SALT Security, or your representative there, for a valid one',
    permission: 'the token must be allowed to write to both URLs of the collector',
  },
  s3: {
    credential: 'the access key, or the IAM role that the gateway assumes',
    permission:
      's3:PutObject on the bucket and prefix (and kms:GenerateDataKey where it is encrypted by KMS)',
  },
  'azure-blob': {
    credential: 'the connection string, SAS token or identity',
    permission: 'the role Storage Blob Data Contributor on the container',
  },
  'azure-monitor': {
    credential: 'the client id and secret, or the managed identity',
    permission: 'the role Monitoring Metrics Publisher on the data collection rule',
  },
  gcs: {
    credential: 'the service account',
    permission: 'storage.objects.create on the bucket (the role Storage Object Creator)',
  },
  splunk: {
    credential: 'the HEC token (Settings, Data inputs, HTTP Event Collector: it must be enabled)',
    permission: 'the token must be allowed to write to the index',
  },
  datadog: {
    credential: 'the API key (an application key does not do), of the site that the URL names',
    permission: 'the key must belong to the organisation that is to get the logs',
  },
  sumo: {
    credential: 'the URL of the HTTP source, which is its credential',
    permission: 'the source must exist and be enabled',
  },
  elasticsearch: {
    credential: 'the API key, or user and password',
    permission: 'the privileges create_doc and auto_configure on the index or data stream',
  },
}

const general = {
  credential: 'the credential in the headers of the connection',
  permission: 'it must be allowed to write to the URL',
}

export function stepsFor(incident: Pick<Incident, 'kind' | 'subject' | 'details'>, facts: IncidentFacts) {
  return [...(steps[incident.kind]?.(incident, facts) ?? [])]
}

type About = Pick<Incident, 'kind' | 'subject' | 'details'>

const steps: Readonly<Record<string, (incident: About, facts: IncidentFacts) => Step[]>> = {
  mirroring_error: deliverySteps,
  stream_failed: deliverySteps,
  connection_lost: (incident, facts) => [
    {
      text:
        'See whether the destination is up and reachable from this machine: name resolution, route, ' +
        'firewall, proxy, certificate.',
    },
    ...testSteps(facts),
    { text: 'Nothing else is needed: the gateway tries again by itself and replays what waits.' },
    ...orReplay(facts),
    ...(incident.details['status'] === null ? [] : deliverySteps(incident, facts).slice(0, 1)),
  ],
  connection_disconnected: ({ subject }, { admin_url }) => [
    { text: 'It was done on purpose: see with them who did. Captures go on and wait on disk.' },
    {
      text: 'Connect it again when it should deliver:',
      command: post(`${admin_url}/api/connections/${encodeURIComponent(subject)}/connect`),
    },
  ],
  spool_nearly_full: ({ details }, facts) => [
    details['disk'] === true
      ? { text: 'Free some space on the disk of data_dir: when it is full, spooling stops.' }
      : { text: 'See why items wait: an outage, or a destination that is slower than the traffic.' },
    ...testSteps(facts),
    ...roomSteps(details, facts),
  ],
  data_dropped: ({ details }) => lossSteps(details['reasons']),
  secret_unavailable: ({ subject }, { admin_url }) => [
    { text: `See whether the secrets manager is up, and holds ${subject} with this path and key.` },
    { text: 'See whether the gateway may read it: its sign-in and its policy at the secrets manager.' },
    {
      text: 'When it is mended, have it read at once:',
      command: post(`${admin_url}/api/secrets_management/clear_cache`),
    },
  ],
  certificate_expiring: (_incident, { admin_url }) => [
    { text: 'Have the certificate renewed, and put it in the place of the old file, with its key.' },
    { text: 'Reload, so that it is read:', command: post(`${admin_url}/api/config/reload`) },
  ],
  clock_jump: () => [
    { text: 'See what set the clock: NTP after a long silence, a resumed machine, or a person.' },
    {
      text:
        'Times of captured items and of entries of the activity log around it are off by the jump. Entries ' +
        'keep their order by id, and the hash chain holds.',
    },
  ],
  config_rejected: (_incident, { admin_url }) => [
    { text: 'Mend what is listed above; the old configuration is in force until then.' },
    { text: 'Check before you reload:', command: post(`${admin_url}/api/config/check`) },
    { text: 'Then reload:', command: post(`${admin_url}/api/config/reload`) },
  ],
}

/** What gives a backlog room, and what happens without it. */
function roomSteps(details: About['details'], { mirrors: [first], admin_url }: IncidentFacts): Step[] {
  const speed = 'more speed (concurrency, max_bytes_per_second)'
  if (details['leg'] === 'activity' && first?.kind === 'streams')
    return [
      {
        text:
          `It must be caught up before ${String(details['removed_from'])}: from then on retention removes ` +
          'entries of the activity log that wait for it.',
      },
      {
        text:
          'Where that is too soon, keep entries for longer until then (activity.retention_ms, or ' +
          `activity.retention of the environment), or give it ${speed}, and reload:`,
        command: reload(admin_url),
      },
    ]
  const less =
    first?.kind === 'streams' ? '(events, match, capture.body_bytes)' : '(sample, match, capture.body_bytes)'
  const full =
    details['leg'] === 'events'
      ? 'When it is full, the oldest events are dropped; with when_full drop_newest, posted ones are ' +
        'refused with 507.'
      : 'When it is full, items are dropped.'
  return [
    { text: `Give it more room (spool.max_bytes), ${speed}, or less to carry ${less}, and reload. ${full}` },
  ]
}

function deliverySteps({ details }: About, facts: IncidentFacts): Step[] {
  const { status, reason } = details
  const mirror = facts.mirrors[0]
  const { credential, permission } = access[mirror?.sink ?? ''] ?? general
  const mend: Step[] = []
  if (status === 401 || reason === 'unauthorized') {
    mend.push({ text: `It does not accept the credential: ${credential}.${whereItStands(mirror)}` })
    if (status === 403) mend.push({ text: `It may know it and forbid the write: ${permission}.` })
    mend.push(...clearCache(mirror, facts))
  } else if (status === 404 || status === 410) {
    mend.push({
      text: `There is nothing at the URL: see whether ${urlsOf(mirror)} is right and still exists.`,
    })
  } else if (typeof status === 'number' && status >= 300 && status < 400) {
    mend.push({ text: 'It redirects, which is never followed: set the URL that it redirects to.' })
  } else if (typeof status === 'number' && status >= 500) {
    mend.push({ text: 'It has trouble of its own: see its status page, or ask who runs it.' })
  } else if (status === 429) {
    mend.push({ text: 'It takes no more: raise its quota, or send less (sample, max_bytes_per_second).' })
  } else {
    mend.push({
      text: `It refuses what is sent: see what it said above, and whether ${urlsOf(mirror)} is right.`,
    })
  }
  return [...mend, ...testSteps(facts), ...orReplay(facts)]
}

function whereItStands(mirror: FactsMirror | undefined): string {
  if (mirror === undefined || mirror.connection === null) return ''
  const headers = mirror.headers.length === 0 ? '' : ` (${mirror.headers.join(', ')})`
  const kept = mirror.references.length === 0 ? '' : `, kept as ${mirror.references.join(', ')}`
  return ` It stands in the headers of the connection "${mirror.connection}"${headers}${kept}.`
}

function clearCache(mirror: FactsMirror | undefined, { admin_url }: IncidentFacts): Step[] {
  if (mirror === undefined || mirror.references.length === 0)
    return [
      { text: 'Put the new one where gateway.yaml reads it from, and reload:', command: reload(admin_url) },
    ]
  const command = post(`${admin_url}/api/secrets_management/clear_cache`)
  return [{ text: 'Put the new one into the secrets manager, and have it read at once:', command }]
}

function urlsOf(mirror: FactsMirror | undefined): string {
  return [...new Set(mirror?.legs.map(({ url }) => url))].join(', ') || 'the URL'
}

/** The command that sends one marked sample per leg, and says what came back. */
function testSteps({ admin_url, mirrors }: IncidentFacts): Step[] {
  return mirrors.slice(0, 3).map(({ kind, name }) => ({
    text: `Test the ${kind.slice(0, -1)} ${name}: one marked sample is sent, the answer says what came back:`,
    command: post(`${admin_url}/api/${kind}/${encodeURIComponent(name)}/test`),
  }))
}

function orReplay({ admin_url, mirrors }: IncidentFacts): Step[] {
  return mirrors.slice(0, 3).map(({ kind, name }) => ({
    text: `When it works, what waits is replayed within a minute; at once by:`,
    command: post(`${admin_url}/api/${kind}/${encodeURIComponent(name)}/replay`),
  }))
}

const losses: Readonly<Record<string, string>> = {
  buffer_full:
    'Raise capture.buffer_bytes, or give the recorder more CPU: captures came faster than they were written.',
  spool_full: 'Raise spool.max_bytes or free the disk: the backlog was full and gave way.',
  spool_error: 'See the disk of data_dir: it could not be written (the log has the error).',
  spool_corrupt: 'See the disk of data_dir: files of the backlog are damaged; copies are kept in quarantine.',
  expired:
    'Mend the destination, or raise spool.retention_ms (for entries of the activity log ' +
    'activity.retention_ms): items waited for longer than they are kept.',
  worker_crash: 'See the log for why a worker thread ended, and report it.',
  item_too_large: 'Lower capture.body_bytes: items were larger than the destination takes.',
  capture_error: 'See the log for the error of the capture, and report it.',
}

function lossSteps(reasons: unknown): Step[] {
  const names = typeof reasons === 'object' && reasons !== null ? Object.keys(reasons) : []
  return names.flatMap((name) => {
    const text = losses[name]
    return text === undefined ? [] : [{ text: `${name}: ${text}` }]
  })
}

function post(url: string): string {
  return `curl -X POST ${url} -H "Authorization: Bearer $TOKEN"`
}

function reload(adminUrl: string): string {
  return post(`${adminUrl}/api/config/reload`)
}
