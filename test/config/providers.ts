/** Providers of the fixtures: one of this machine, and some that would be asked over the network. */
import { defineProvider, type ProviderDefinition, SecretError, Type } from 'mirrorgate/plugin'

const env = defineProvider({
  name: 'env',
  summary: 'One variable.',
  options: Type.Object({}, { additionalProperties: false }),
  secretOptions: [],
  local: true,
  workato: () => ({ rule: 'is no form of env' }),
  create: () => ({
    async read({ path }) {
      if (path === 'MOUNTED') return 'token-of-the-machine'
      throw new SecretError('not_found', `the environment variable ${path} is not set`)
    },
    close() {},
  }),
})

/** Never asked: a configuration is checked without the network. */
const remote = (name: string) =>
  defineProvider({
    name,
    summary: 'Far away.',
    options: Type.Object(
      {
        address: Type.String({ minLength: 1, description: 'Where.' }),
        token: Type.Optional(Type.String({ minLength: 8, description: 'Credential.' })),
        ca_file: Type.Optional(Type.String({ description: 'PEM.' })),
      },
      { additionalProperties: false },
    ),
    secretOptions: ['token'],
    pathOptions: ['ca_file'],
    rule: ({ address, ca_file }) =>
      ca_file !== undefined && address.startsWith('http:') ? 'must have an https address with ca_file' : null,
    workato(text) {
      const [, key, path] = /^([^:]+):(.+)$/.exec(text) ?? []
      return key === undefined || path === undefined ? { rule: 'must be KEY:NAME' } : { path, key }
    },
    create() {
      throw new Error('a check must not ask a provider')
    },
  })

export const providers: readonly ProviderDefinition[] = [env, remote('vault'), remote('conjur')]
