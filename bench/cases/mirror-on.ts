/** Mirror on: every exchange copied, redacted, spooled and delivered as a pair. */
import { answerWord, orderWord } from '../bed/payload.ts'
import { holds, type Row } from '../harness/target.ts'
import { startGateway } from './gateway.ts'

export const mirrorOn: Row = {
  name: 'on',
  goal: 'mirrorgate with one SALT mirror: both halves of every exchange redacted, spooled, delivered',
  needs: [],
  start: (bed, folder) => startGateway(bed, folder, { name: 'on', mirror: bed.collector, away: false }),
  proof: (stats, shape) => holds(stats, shape === 'post' ? [answerWord, orderWord] : [answerWord]),
}
