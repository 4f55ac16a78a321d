/** Rules about what an item or event is made into: the format, and the template of its message. */
import { checkTemplate } from '../../render/events.ts'
import type { Draft, Entry, MirrorDraft, StreamDraft } from '../draft.ts'

export function checkMessage(draft: Draft, { value, pointer }: Entry<MirrorDraft>): void {
  const at = `${pointer}/template`
  const { format, template } = value
  if (!draft.sound(`${pointer}/format`, at)) return
  if (template === undefined) {
    if (format === 'template')
      draft.problem(`${pointer}/format`, 'must stand beside template, which is missing')
    return
  }
  if (format !== 'template') {
    const got = format === undefined ? 'none' : JSON.stringify(format)
    draft.problemAtKey(at, `must stand beside format: template, got ${got}`)
    return
  }
  const message = templateProblem(template)
  if (message !== null) draft.problem(at, message)
}

/** The same of a stream. */
export function checkStreamMessage(draft: Draft, { value, pointer }: Entry<StreamDraft>): void {
  const at = `${pointer}/message`
  const { format, message } = value
  if (message === undefined || !draft.sound(`${pointer}/format`, at)) return
  if (format === 'cef' || format === 'cps')
    draft.problemAtKey(at, `must stand beside format json or ndjson, got ${JSON.stringify(format)}`)
  const problem = templateProblem(message)
  if (problem !== null) draft.problem(at, problem)
}

/** What is wrong with a template, in one sentence with its place in it; null when nothing is. */
function templateProblem(template: string): string | null {
  const problem = checkTemplate(template)
  if (problem === null) return null
  return `${problem.message}, at line ${problem.line}, column ${problem.column} of the template`
}
