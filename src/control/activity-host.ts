/** What the activity log is told by the gateway around it: its settings as they are now. */
import type { Config } from '../config/schema.ts'
import type { ActivityHost } from '../store/activity/log.ts'
import type { Logger } from '../telemetry/log.ts'

export function activityHost(gateway: { readonly log: Logger; readonly config: Config }): ActivityHost {
  return {
    log: gateway.log,
    settings: () => {
      const { activity, workspace } = gateway.config
      const { id, name, email } = workspace
      return {
        keepMs: (environment) => activity.retention[environment] ?? activity.retention_ms,
        checkpointEntries: activity.checkpoint_entries,
        checkpointMs: activity.checkpoint_ms,
        workspace: { id, name, email },
      }
    },
  }
}
