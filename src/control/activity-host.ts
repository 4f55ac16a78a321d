/** What the activity log is told by the gateway around it: its settings as they are now. */
import type { Config } from '../config/schema.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import type { ActivityHost } from '../store/activity/log.ts'
import type { Logger } from '../telemetry/log.ts'

/** How long entries of an environment are kept. */
export function keepMs({ activity }: Pick<Config, 'activity'>, environment: EnvironmentName): number {
  return activity.retention[environment] ?? activity.retention_ms
}

export function activityHost(gateway: { readonly log: Logger; readonly config: Config }): ActivityHost {
  return {
    log: gateway.log,
    settings: () => {
      const { config } = gateway
      const { activity, workspace } = config
      const { id, name, email } = workspace
      return {
        keepMs: (environment) => keepMs(config, environment),
        checkpointEntries: activity.checkpoint_entries,
        checkpointMs: activity.checkpoint_ms,
        workspace: { id, name, email },
      }
    },
  }
}
