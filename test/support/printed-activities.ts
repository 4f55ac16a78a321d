/** Entries of the activity log as the documentation of the original prints them, oldest first. */

const alex = { id: 12345, name: 'Alex', email: 'alex@example.com' }
const jie = { id: 54321, name: 'Jie', email: 'jie@example.com' }
const user_agent =
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) ' +
  'Chrome/125.0.0.0 Safari/537.36'
const request = { ip_address: '60.160.90.91', user_agent }
const requestOfJie = { ip_address: '192.0.2.1', user_agent }
const workspace = {
  id: 12345,
  name: 'Alex',
  type: 'Workspace',
  email: 'alex@example.com',
  email_confirmed_at: '2024-04-24 14:23:03 -0700',
}
const recipe = { id: 289287, name: 'My new recipe', path: 'Home/Demos', type: 'Flow', folder_id: 46319 }
const calendly = { id: 7321, name: 'Calendly', type: 'CustomAdapter' }
const operatorGroup = { id: 40327, name: 'Recipe Operator', type: 'ApiPrivilegeGroup' }
const account = {
  id: 66196,
  name: 'My RecipeOps by Workato account',
  path: 'Home/Demos',
  type: 'SharedAccount',
  provider: 'workato_app',
  folder_id: 46319,
  authorized: true,
}

const of = (user: typeof alex) => ({ workspace: { ...user, environment: 'dev' }, user })
const login = { details: { request, activity: 'password_login' }, resource: workspace }
const switching = {
  ...of(jie),
  details: { request: requestOfJie, activity: 'switch_team' },
  resource: workspace,
}

/** Without ids: they are given by the log. */
export const printedActivities = [
  {
    timestamp: '2024-06-04 16:24:44 UTC',
    event_type: 'api_privilege_group_updated',
    ...of(alex),
    details: { request },
    resource: operatorGroup,
  },
  {
    timestamp: '2024-06-04 21:37:12 UTC',
    event_type: 'api_privilege_group_updated',
    ...of(alex),
    details: { request },
    resource: operatorGroup,
  },
  {
    timestamp: '2024-06-18 17:38:33 UTC',
    event_type: 'api_privilege_group_updated',
    ...of(alex),
    details: { request },
    resource: operatorGroup,
  },
  { timestamp: '2024-06-18 19:17:31 UTC', event_type: 'user_login', ...of(alex), ...login },
  {
    timestamp: '2024-06-20 20:00:36 UTC',
    event_type: 'connection_updated',
    ...of(alex),
    details: { request },
    resource: account,
  },
  { timestamp: '2024-06-30 22:32:00 UTC', event_type: 'user_login', ...switching },
  { timestamp: '2024-06-30 22:32:16 UTC', event_type: 'user_logout', ...switching },
  { timestamp: '2024-06-30 22:32:43 UTC', event_type: 'user_login', ...switching },
  { timestamp: '2024-06-30 22:34:36 UTC', event_type: 'user_logout', ...switching },
  {
    timestamp: '2024-06-30 23:07:33 UTC',
    event_type: 'connector_created',
    ...of(alex),
    details: { request },
    resource: calendly,
  },
  {
    timestamp: '2024-06-30 23:09:51 UTC',
    event_type: 'connector_deleted',
    ...of(alex),
    details: { request },
    resource: calendly,
  },
  { timestamp: '2024-06-24 15:52:23 UTC', event_type: 'user_login', ...of(alex), ...login },
  {
    timestamp: '2024-06-25 16:38:11 UTC',
    event_type: 'recipe_created',
    ...of(alex),
    details: { request },
    resource: recipe,
  },
  { timestamp: '2024-06-26 15:56:07 UTC', event_type: 'user_login', ...of(alex), ...login },
] as const
