/** The paths that speak as Konnect's audit log API does. */
import type { Resource } from '../app.ts'
import { addAuditLogs } from './audit-logs.ts'
import { WebhookBook } from './book.ts'
import { addDestinations } from './destinations.ts'
import { addWebhooks } from './webhooks.ts'

export const konnect: Resource = (app, context) => {
  const book = new WebhookBook(context)
  addDestinations(app, context, book)
  addWebhooks(app, context, book)
  addAuditLogs(app, context)
}
