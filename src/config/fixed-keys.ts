/** Settings that a reload cannot change. */
import type { Usable } from './load.ts'
import { pathOf } from './places.ts'
import type { Problem } from './problems.ts'
import type { Config } from './schema.ts'

/** What belongs to the process: a reload cannot change it. By JSON pointer into the file. */
const fixedKeys: Readonly<Record<string, (config: Config) => string | number | boolean>> = {
  '/listen/host': ({ listen }) => listen.host,
  '/listen/port': ({ listen }) => listen.port,
  '/listen/threads': ({ listen }) => listen.threads,
  '/listen/reuse_port': ({ listen }) => listen.reuse_port,
  '/data_dir': ({ data_dir }) => data_dir,
  '/admin/host': ({ admin }) => admin.host,
  '/admin/port': ({ admin }) => admin.port,
  '/secrets/key_file': ({ secrets }) => secrets.key_file ?? '',
  '/capture/buffer_bytes': ({ capture }) => capture.buffer_bytes,
  '/logging/format': ({ logging }) => logging.format,
}

/** What a configuration would change of them. */
export function changesOfFixedKeys(
  inForce: Config,
  { config, file, places }: Pick<Usable, 'config' | 'file' | 'places'>,
): Problem[] {
  return Object.entries(fixedKeys).flatMap(([at, read]) => {
    const [before, wanted] = [read(inForce), read(config)]
    if (before === wanted) return []
    const rule = `must stay ${JSON.stringify(before)} in a reload (restart the gateway to change it)`
    const message = `${rule}, got ${JSON.stringify(wanted)}`
    return [{ file, ...places.value(at), path: pathOf(at), message }]
  })
}
