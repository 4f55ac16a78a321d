/** The schema of `notifications`: who is told when something goes wrong, and how. */
import type { Static } from 'typebox'
import { environments } from '../contract/environments.ts'
import { Type } from '../contract/schema.ts'
import { count, DAY, entry, flag, HOUR, optionalCount, SECOND, section, strings, text } from './fields.ts'
import { ClientTls } from './schema-tls.ts'

const MINUTE = 60 * SECOND
const address = { format: 'mail-address' }

const oneEnvironment = (name: string) =>
  Type.Optional(
    Type.Array(text('Address.', address), {
      minItems: 1,
      maxItems: 200,
      description: `Who is told by a gateway of ${name}.`,
    }),
  )
const byEnvironment = Object.fromEntries(environments.map((name) => [name, oneEnvironment(name)])) as Record<
  (typeof environments)[number],
  ReturnType<typeof oneEnvironment>
>

const Smtp = entry(
  {
    host: text('The mail server.', { format: 'host' }),
    port: optionalCount(1, 65_535, 'Default: 587 with starttls, 465 with tls, 25 without either.'),
    tls: Type.Enum(['none', 'starttls', 'tls'], {
      default: 'starttls',
      description: 'starttls: TLS is asked for, and nothing is sent without it; tls: from the first byte.',
    }),
    username: Type.Optional(text('Name to sign in with; may refer to a secret.')),
    password: Type.Optional(text('Its password; may refer to a secret.', { secret: true })),
    ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    verify: flag(true, 'Whether the certificate is verified; false is for tests only.'),
    server_name: Type.Optional(text('Name that the certificate must have. Default: host.')),
    timeout_ms: count(30 * SECOND, 100, 5 * MINUTE, 'Time the server has for each answer.'),
  },
  'The mail server.',
)

const Email = entry(
  {
    smtp: Smtp,
    from: text('Address of the sender.', address),
    recipients: strings('Who is told, where the environment has no list of its own.', address),
    recipients_by_environment: Type.Object(byEnvironment, {
      additionalProperties: false,
      default: {},
      description: 'The same for single environments, so that all can share one file.',
    }),
    digest_after_per_hour: count(20, 1, 10_000, 'Mails an hour; what is beyond comes as one digest.'),
  },
  'Mails to people.',
)

const Webhook = entry(
  {
    url: text('Where to POST a JSON object for each event; may refer to a secret.', {
      format: 'http-url',
      secret: true,
    }),
    headers: Type.Record(Type.String(), Type.String({ secret: true }), {
      default: {},
      description: 'Sent verbatim with each POST; values may refer to secrets.',
    }),
    timeout_ms: count(10 * SECOND, 100, 5 * MINUTE, 'Time the receiver has to answer.'),
    tls: Type.Optional(ClientTls),
  },
  'JSON to a machine.',
)

export const Notifications = section(
  {
    email: Type.Optional(Email),
    webhook: Type.Optional(Webhook),
    retry: section(
      {
        min_wait_ms: count(10 * SECOND, 50, HOUR, 'The first wait; doubles.'),
        max_wait_ms: count(15 * MINUTE, 50, DAY, 'The longest wait.'),
      },
      'When a message that could not be sent is tried again; after 7 days it is given up.',
    ),
    repeat_ms: count(
      0,
      0,
      365 * DAY,
      'An open incident is told again this often, until somebody acknowledges it; 0 = never.',
    ),
    quiet_ms: count(
      5 * MINUTE,
      100,
      DAY,
      'Lost items and jumps of the clock are over when none was seen for this long.',
    ),
    certificate_days: count(14, 1, 365, 'Certificates that end within so many days are told of.'),
    retention_ms: count(90 * DAY, MINUTE, 3660 * DAY, 'How long closed incidents are kept; 5000 at most.'),
  },
  'Who is told when something goes wrong. Incidents are kept and shown without it.',
)

export type NotificationsSection = Static<typeof Notifications>
