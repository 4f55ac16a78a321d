/** The schema of `activity`: how long entries are kept, and how often the log is signed. */
import { environments } from '../contract/environments.ts'
import { Type } from '../contract/schema.ts'
import { count, DAY, optionalCount, SECOND, section } from './fields.ts'

const MINUTE = 60 * SECOND
/** A hundred years: longer than any rule on audit logs asks for. */
const LONGEST = 36_600 * DAY

const byEnvironment = Object.fromEntries(
  environments.map((name) => [name, optionalCount(MINUTE, LONGEST, `How long entries of ${name} are kept.`)]),
) as Record<(typeof environments)[number], ReturnType<typeof optionalCount>>

export const ActivitySection = section(
  {
    retention_ms: count(365 * DAY, MINUTE, LONGEST, 'How long entries are kept, by their time.'),
    retention: Type.Object(byEnvironment, {
      additionalProperties: false,
      default: {},
      description: 'The same for single environments.',
    }),
    checkpoint_entries: count(
      1000,
      1,
      1_000_000,
      'Entries after which the state of the log is signed, so that a cut end would be missed.',
    ),
    checkpoint_ms: count(MINUTE, SECOND, DAY, 'Time after which it is signed, if anything changed.'),
  },
  'The activity log.',
)
