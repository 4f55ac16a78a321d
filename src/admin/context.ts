/** What the resources of the admin port work with, put together from what the gateway gives. */
import type { AdminContext } from './app.ts'
import { SignIn } from './auth.ts'
import { ClientBook } from './client-book.ts'
import { ClientRegistry } from './client-registry.ts'
import type { Commands } from './commands.ts'
import type { AdminOptions } from './server.ts'
import { SessionTable } from './session-table.ts'
import type { SignInTrail } from './sign-in-trail.ts'
import { TagBook } from './tag-book.ts'

/** Where a client that the API did not make comes from. */
function placeOfClient(commands: Commands, name: string): string {
  const at = commands.admin().clients.findIndex((client) => client.name === name)
  return at === -1 ? 'the admin-token file of data_dir' : commands.placeOf(`/admin/clients/${at}`)
}

/** Throws a StartError when the token file is needed and cannot be made. */
export function createContext(options: AdminOptions, signInTrail: SignInTrail): AdminContext {
  const { commands, store, trail, dataDir, log } = options
  const clients = new ClientRegistry({ store, dataDir, log })
  clients.load(commands.config())
  const definedAt = (name: string): string => placeOfClient(commands, name)
  const clientBook = new ClientBook({ store, trail, clients, definedAt })
  const sessions = new SessionTable(clients)
  const signIn = new SignIn({ clients, sessions, trail: signInTrail, log })
  const tagBook = new TagBook({ store, commands, trail })
  const activity = store.activity
  return { commands, activity, store, trail, clients, clientBook, sessions, signIn, tagBook, log }
}
