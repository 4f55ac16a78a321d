/** The environments that a gateway, a client or an entry of the activity log can belong to. */
export const environments = ['dev', 'sandbox', 'test', 'stage', 'uat', 'preprod', 'prod'] as const
export type EnvironmentName = (typeof environments)[number]
