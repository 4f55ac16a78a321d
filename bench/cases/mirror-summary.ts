/** Mirror on, and beside it a stream with one line of an API log per exchange. */
import { answerWord, orderWord } from '../bed/payload.ts'
import { holds, type Row } from '../harness/target.ts'
import { startGateway } from './gateway.ts'

export const mirrorSummary: Row = {
  name: 'summary',
  goal: 'mirrorgate with one SALT mirror and a stream of api_summary, delivered to the same collector',
  needs: [],
  start: (bed, folder) =>
    startGateway(bed, folder, { name: 'summary', mirror: bed.collector, away: false, summary: true }),
  proof: (stats, shape) => holds(stats, shape === 'post' ? [answerWord, orderWord] : [answerWord]),
}
