/** The schema of TLS towards others: collectors and upstreams. */
import type { Static } from 'typebox'
import { Type } from '../contract/schema.ts'
import { entry, flag, text } from './fields.ts'

export const ClientTls = entry(
  {
    ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    cert_file: Type.Optional(text('PEM file with the client certificate.')),
    key_file: Type.Optional(text('PEM file with its key.')),
    verify: flag(true, 'Whether the certificate is verified; false is for tests only.'),
    server_name: Type.Optional(text('Server name (SNI) to ask for and to verify.')),
  },
  'TLS options.',
)

export type ClientTlsConfig = Static<typeof ClientTls>
