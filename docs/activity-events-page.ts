/** docs/activity-events.md: every activity entry that the gateway itself writes. */
import { type ActivityEvent, activityEvents } from '../src/contract/activity-events.ts'

const introduction = `# Activity events

<!-- Generated from src/contract/activity-events.ts by \`npm run docs\`: change it there. -->

What the gateway itself writes into the activity log (\`GET /api/activity_logs\`). Other systems add entries
of their own with \`POST /api/activity_logs\`, under whatever types they choose.

- \`user\` is the client that did it: its id and name, with the e-mail address of the workspace. Id 0, named
  \`mirrorgate\`, is the gateway itself: what it found out, what a signal asked for, and what nobody was
  signed in for.
- \`details.request\` has the address and the user agent of the request that asked for it;
  \`details.activity\` how it was asked for where that is not plain: \`token_login\`, \`session_login\`,
  \`sighup\`.
- \`resource\` is what it is about: \`id\` where there is one, \`name\`, and the \`type\` of the table.
- *Log of*: entries about this gateway are in the log of the gateway's environment, whoever did it; those
  about a client's own doing are in the log of the client's environment.
- Values that are or may be secrets are never in an entry: \`***\` stands for them.
- A state and the entry that tells of its change are written in one transaction. Where an entry only tells
  (an outage, a sign-in) a log that cannot be written holds nothing up: it is an error in the gateway's own
  log, and counted in \`mirrorgate_activity_failed_total\`.
`

export function activityEventsPage(): string {
  const events = Object.entries(activityEvents) as [ActivityEvent, (typeof activityEvents)[ActivityEvent]][]
  const rows = events.map(
    ([event, { resource, scope, meaning }]) =>
      `| \`${event}\` | \`${resource}\` | ${scope === 'gateway' ? 'gateway' : 'client'} | ${meaning} |`,
  )
  const head = '| event_type | resource.type | log of | meaning |\n| --- | --- | --- | --- |'
  return `${introduction}\n${head}\n${rows.join('\n')}\n`
}
