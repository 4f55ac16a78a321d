/** The blackhole sink: conformance as far as it applies. */
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import blackhole from './sink.ts'

sinkConformance({
  definition: blackhole,
  options: () => ({}),
  http: { because: 'it sends nothing' },
  stored: { because: 'it keeps nothing' },
})
