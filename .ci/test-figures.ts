/** Prints `passed failed` from the JSON report of vitest; what broke outside a test counts as one failure. */
import { readFileSync } from 'node:fs'

interface Report {
  numPassedTests: number
  numFailedTests: number
  testResults: { status: string; assertionResults: { status: string }[] }[]
}

const [path = '', exitStatus] = process.argv.slice(2)
const report = JSON.parse(readFileSync(path, 'utf8')) as Report
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === 'failed' && !assertionResults.some((assertion) => assertion.status === 'failed'),
)
const failures = report.numFailedTests + brokenFiles.length
const unseen = exitStatus !== '0' && failures === 0 ? 1 : 0
process.stdout.write(`${report.numPassedTests} ${failures + unseen}\n`)
