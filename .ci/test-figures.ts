/**
 * Reads the JSON report of vitest: prints `passed failed`, then a line for each test that failed, with its
 * file and what it said. What broke outside a test counts as one failure.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'

interface Report {
  numPassedTests: number
  numFailedTests: number
  testResults: {
    name: string
    status: string
    message: string
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[]
  }[]
}

const SAID_CHARS_MAX = 300

function line(file: string, what: string, said: string): string {
  return `${path.relative('.', file)} > ${what}: ${said.replaceAll(/\s+/g, ' ').slice(0, SAID_CHARS_MAX)}`
}

const [reportPath = '', exitStatus] = process.argv.slice(2)
const report = JSON.parse(readFileSync(reportPath, 'utf8')) as Report
const lines: string[] = []
for (const { name, status, message, assertionResults } of report.testResults) {
  const failed = assertionResults.filter((assertion) => assertion.status === 'failed')
  for (const { fullName, failureMessages } of failed)
    lines.push(line(name, fullName, failureMessages.join(' ')))
  if (status === 'failed' && failed.length === 0) lines.push(line(name, 'the file', message))
}
if (exitStatus !== '0' && lines.length === 0) lines.push(`${reportPath} > all: ended with ${exitStatus}`)
process.stdout.write(`${[`${report.numPassedTests} ${lines.length}`, ...lines].join('\n')}\n`)
