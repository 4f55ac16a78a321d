/** Hung collector: it accepts and reads, and never answers. Clients must not notice. */
import type { Row } from '../harness/target.ts'
import { startGateway } from './gateway.ts'

export const mirrorHung: Row = {
  name: 'hung',
  goal: 'the same mirror, its collector accepts deliveries and never answers: everything waits on disk',
  needs: [],
  start: (bed, folder) => startGateway(bed, folder, { name: 'hung', mirror: bed.hung, away: true }),
}
