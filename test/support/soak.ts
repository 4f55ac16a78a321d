/** `npm run soak` runs some tests for much longer than `npm test` can. */
export const soak = process.env['MIRRORGATE_SOAK'] === '1'

/** Time for one test of the soak. */
export const SOAK_MS = 1_800_000
