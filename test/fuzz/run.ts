/**
 * Runs cases, each with a seed of its own: in the tests the same ones for a few seconds, with
 * `npm run fuzz` new ones for as long as is wanted.
 */
const { env } = process

const number = (name: string): number | null => (env[name] === undefined ? null : Number(env[name]))

/** The seed of the first case; those after it count on. */
const firstSeed = number('MIRRORGATE_FUZZ_SEED') ?? 2000
/** Cases that once found something, run before all others. */
const recorded: Readonly<Record<string, readonly number[]>> = {
  requests: [23, 55, 104, 157, 1063, 5138, 504450],
  answers: [],
  uploads: [59, 5410, 777664, 777822, 52002095, 52004093],
}
/** A run ends with either bound. */
export const boxMs = (number('MIRRORGATE_FUZZ_SECONDS') ?? 3) * 1000
const casesMax = number('MIRRORGATE_FUZZ_CASES') ?? 1_000_000_000
/** So many say enough. */
const failuresMax = number('MIRRORGATE_FUZZ_FAILURES') ?? 5

export interface Outcome {
  readonly wrong: readonly string[]
  /** What was sent, and what came of it. */
  readonly shown: string
}

/** Throws with what failed, each with the line that runs it again. */
export async function runCases(kind: string, play: (seed: number) => Promise<Outcome>): Promise<void> {
  const failures: string[] = []
  const end = performance.now() + boxMs
  const before = env['MIRRORGATE_FUZZ_SEED'] === undefined ? (recorded[kind] ?? []) : []
  let cases = 0
  for (; cases < casesMax && performance.now() < end && failures.length < failuresMax; cases++) {
    const seed = before[cases] ?? firstSeed + cases - before.length
    const failed = (error: unknown): Outcome => ({ wrong: [String(error)], shown: '' })
    const { wrong, shown } = await play(seed).catch(failed)
    const again = `npm run fuzz -- --only ${kind} --seed ${seed} --cases 1`
    if (wrong.length > 0) failures.push([again, ...wrong, shown].join('\n'))
  }
  process.stdout.write(`${kind}: ${cases} cases, the last of seed ${firstSeed + cases - before.length - 1}\n`)
  if (failures.length > 0) throw new Error(failures.join('\n\n'))
}
