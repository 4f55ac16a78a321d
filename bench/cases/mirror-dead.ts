/** Dead collector: its port is closed. Clients must not notice. */
import { refuses } from '../harness/child.ts'
import type { Row } from '../harness/target.ts'
import { startGateway } from './gateway.ts'

export const mirrorDead: Row = {
  name: 'dead',
  goal: 'the same mirror, nobody listens at its collector: everything waits on disk',
  needs: [],
  start: async (bed, folder) => {
    if (!(await refuses(bed.dead)))
      throw new Error(`port ${bed.dead} should be closed, but somebody listens on it`)
    return startGateway(bed, folder, { name: 'dead', mirror: bed.dead, away: true })
  },
}
