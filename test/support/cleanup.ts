/** What a test opened is closed at its end, last opened first; what a hook opened, when its file ends. */
import { afterAll, onTestFinished } from 'vitest'

type Step = () => Promise<unknown> | unknown

const ofFile: Step[] = []
afterAll(async () => {
  for (const step of ofFile.splice(0).reverse()) await step()
})

export function onEnd(step: Step): void {
  const run = async () => {
    await step()
  }
  try {
    onTestFinished(run)
  } catch {
    // Not inside a test: a hook of the file.
    ofFile.push(run)
  }
}
