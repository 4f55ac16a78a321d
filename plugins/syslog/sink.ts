/** Sends events to a syslog server: RFC 5424 messages over UDP, TCP or TLS. */
import { hostname } from 'node:os'
import { defineSink, Type } from 'mirrorgate/plugin'
import { facilities, formatter } from './message.ts'
import { openStream, openUdp, type Transport } from './transport.ts'

const MIB = 1024 * 1024
/** RFC 5424 §6.1: what a receiver must, and what it should take. */
const datagramBytes = 2048
const streamBytes = 8192

const file = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description }))
const printable = (maxLength: number, description: string) =>
  Type.Optional(
    Type.String({
      minLength: 1,
      maxLength,
      pattern: '^[!-~]+$',
      rule: 'must be printable ASCII without spaces',
      description,
    }),
  )

const options = Type.Object(
  {
    host: Type.String({ minLength: 1, maxLength: 255, description: 'Name or address of the server.' }),
    port: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65_535, description: 'Its port; if absent 514, with tls 6514.' }),
    ),
    protocol: Type.Enum(['udp', 'tcp', 'tls'], {
      default: 'tcp',
      description: 'udp (RFC 5426), tcp with octet counting (RFC 6587), or tls (RFC 5425).',
    }),
    ca_file: file('Authority of the server, PEM; if absent, those of the system.'),
    cert_file: file('Own certificate, PEM.'),
    key_file: file('Its key, PEM.'),
    server_name: file('Name in the certificate of the server, if not its host.'),
    verify: Type.Boolean({
      default: true,
      description: 'Whether the certificate of the server is verified.',
    }),
    facility: Type.Enum([...facilities], { default: 'local0', description: 'Facility of all messages.' }),
    app_name: Type.String({
      default: 'mirrorgate',
      minLength: 1,
      maxLength: 48,
      pattern: '^[!-~]+$',
      rule: 'must be printable ASCII without spaces',
      description: 'APP-NAME of all messages.',
    }),
    hostname: printable(255, 'HOSTNAME of all messages; if absent, that of the machine.'),
    structured_data_id: Type.Optional(
      Type.String({
        maxLength: 32,
        pattern: '^[!#-<>-\\\\^-~]+@\\d[\\d.]*$',
        rule: 'must be a name and a private enterprise number, like audit@32473',
        description: 'Adds structured data of this id: the mirror or stream, and the id of the event.',
      }),
    ),
    bom: Type.Boolean({
      default: false,
      description:
        'Whether the text begins with a byte order mark, as RFC 5424 has it and few servers like it.',
    }),
    max_message_bytes: Type.Optional(
      Type.Integer({
        minimum: 480,
        maximum: MIB,
        description: 'A longer message becomes a dead letter; if absent 8192, with udp 2048.',
      }),
    ),
  },
  { additionalProperties: false },
)

export default defineSink({
  name: 'syslog',
  summary: 'Sends events to a syslog server, as RFC 5424 messages over UDP, TCP or TLS.',
  options,
  formats: ['ndjson'],
  urls: [],
  limits: { batch_bytes: 16 * MIB, batch_items: 10_000, item_bytes: MIB },
  legs: (own) => [
    { name: 'messages', half: 'exchange', url: `syslog+${own.protocol}://${own.host}:${portOf(own)}` },
  ],
  rule({ protocol, cert_file: cert, key_file: key, max_message_bytes: most = 0 }) {
    if ((cert === undefined) !== (key === undefined))
      return { key: 'cert_file', rule: 'must stand together with key_file' }
    if (protocol === 'udp' && most > 65_507)
      return { key: 'max_message_bytes', rule: 'must be at most 65507 with udp' }
    return null
  },
  create({ options: own }) {
    const udp = own.protocol === 'udp'
    const message = formatter({
      ...own,
      hostname: own.hostname ?? hostname(),
      most: own.max_message_bytes ?? (udp ? datagramBytes : streamBytes),
    })
    const reach = { ...own, port: portOf(own), tls: own.protocol === 'tls' }
    const transport: Transport = udp ? openUdp(reach) : openStream(reach)
    return {
      write: async (batch, signal) => transport.send(message(batch), signal),
      close: () => transport.close(),
    }
  },
})

function portOf({ port, protocol }: { readonly port?: number; readonly protocol: string }): number {
  return port ?? (protocol === 'tls' ? 6514 : 514)
}
