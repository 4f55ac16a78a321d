/** `npm run fuzz`: the fuzzer for as long as is wanted, or one case again. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const usage = `npm run fuzz -- [--only requests|answers|uploads] [--seed N] [--seconds S] [--cases N]
                   [--failures N]
Without --seed new cases are run, for 60 seconds unless said otherwise.
`

const option = { type: 'string' } as const
const { values } = parseArgs({
  options: {
    only: option,
    seed: option,
    seconds: option,
    cases: option,
    failures: option,
    help: { type: 'boolean' },
  },
})
const { only, help } = values
const counts = { seed: values.seed, seconds: values.seconds, cases: values.cases, failures: values.failures }
const odd = Object.entries(counts).find(([, value]) => value !== undefined && !/^[0-9]{1,9}$/.test(value))

const known = ['requests', 'answers', 'uploads']

if (help === true || odd !== undefined || (only !== undefined && !known.includes(only))) {
  if (odd !== undefined) process.stderr.write(`--${odd[0]} must be a number, got ${odd[1]}\n`)
  process.stdout.write(usage)
  process.exit(help === true ? 0 : 2)
}

const kinds = only === undefined ? known : [only]
const run = spawn('vitest', ['run', ...kinds.map((kind) => `test/fuzz/${kind}.test.ts`)], {
  cwd: fileURLToPath(new URL('../..', import.meta.url)),
  stdio: 'inherit',
  env: {
    ...process.env,
    MIRRORGATE_FUZZ_SEED: values.seed ?? String(Date.now() % 1_000_000_000),
    MIRRORGATE_FUZZ_SECONDS: values.seconds ?? '60',
    ...(values.cases === undefined ? {} : { MIRRORGATE_FUZZ_CASES: values.cases }),
    ...(values.failures === undefined ? {} : { MIRRORGATE_FUZZ_FAILURES: values.failures }),
  },
})
run.once('close', (code) => process.exit(code ?? 1))
