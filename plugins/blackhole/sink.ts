/** Accepts everything and keeps nothing: what capture costs without a destination. */
import { defineSink, Type } from 'mirrorgate/plugin'

const MIB = 1024 * 1024

export default defineSink({
  name: 'blackhole',
  summary: 'Accepts every exchange and keeps none, to measure what capture costs without a destination.',
  options: Type.Object({}, { additionalProperties: false }),
  formats: ['exchange', 'ndjson'],
  urls: [],
  limits: { batch_bytes: 64 * MIB, batch_items: 100_000, item_bytes: 64 * MIB },
  legs: () => [{ name: 'exchanges', half: 'exchange', url: 'blackhole:' }],
  create: () => ({
    async write() {},
    close() {},
  }),
})
