/** What a test opened is closed at its end, last opened first; what a hook opened, when its file ends. */
import { onTestFinished } from 'vitest'

type Step = () => Promise<unknown> | unknown

const ofFile: Step[] = []

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

/** For what a test opens and the tests after it go on using. */
export function onFileEnd(step: Step): void {
  ofFile.push(step)
}

/** Closes what the hooks of a file opened; called after each file, since files share a process. */
export async function endFile(): Promise<void> {
  for (const step of ofFile.splice(0).reverse()) await step()
}
