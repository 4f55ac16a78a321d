/** The kill switch of all capture. */
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type Resource } from './app.ts'

const Capture = Type.Object({ paused: Type.Boolean() })

export const capture: Resource = (app, { commands }) => {
  const acts = [
    { path: 'pause', capturing: false, summary: 'Stops all capture; requests are still forwarded' },
    { path: 'resume', capturing: true, summary: 'Starts capture again' },
  ]
  for (const { path, capturing, summary } of acts) {
    app.post(
      `/api/capture/${path}`,
      {
        config: { access: 'operator' },
        schema: { tags: ['capture'], summary, response: { 200: answer(Capture, 'Whether it is paused.') } },
      },
      (request) => commands.setCapture(capturing, actorOf(request)),
    )
  }
}
