/** Reads secrets from the environment of the gateway's process. */
import { defineProvider, SecretError, secretValue, Type } from 'mirrorgate/plugin'

export default defineProvider({
  name: 'env',
  summary: 'Reads environment variables of the gateway: `${secret:env:NAME}`.',
  options: Type.Object({}, { additionalProperties: false }),
  secretOptions: [],
  local: true,
  workato: () => ({ rule: 'is no form of env, write ${secret:PROVIDER:PATH}' }),
  create: () => ({
    async read(name) {
      const value = process.env[name.path]
      if (value === undefined || value === '')
        throw new SecretError('not_found', `the environment variable ${name.path} is not set`)
      return secretValue(value, name)
    },
    close() {},
  }),
})
