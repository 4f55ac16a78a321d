/** Mirror off: what forwarding alone costs, and the base of the other rows. */
import type { Row } from '../harness/target.ts'
import { startGateway } from './gateway.ts'

export const mirrorOff: Row = {
  name: 'off',
  goal: 'mirrorgate forwarding only, no mirror configured: the base',
  needs: [],
  start: (bed, folder) => startGateway(bed, folder, { name: 'off', mirror: null, away: false }),
}
