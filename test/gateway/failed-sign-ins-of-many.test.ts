/** Failed sign-ins from more addresses than are told apart: the rest is told together, as what it is. */
import { expect, test } from 'vitest'
import { SignInTrail } from '../../src/admin/sign-in-trail.ts'
import { type Happening, theGateway } from '../../src/contract/audit-trail.ts'
import { limits } from '../../src/contract/limits.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { newStore } from '../activity/rig.ts'

test('addresses beyond those that are told apart are one entry, with how they tried', async () => {
  const { store } = await newStore()
  const told: Happening[] = []
  const record = async (...happenings: readonly Happening[]) => {
    told.push(...happenings)
    return true
  }
  const log = createLog({ level: 'silent', format: 'json' })
  const trail = new SignInTrail({ trail: { record, entries: () => [] }, store, log })
  const most = limits.sign_in_failed_entries_max
  for (let at = 0; at <= most; at += 1) {
    const request = { ip_address: `10.0.0.${at}`, user_agent: 'knocker/1.0' }
    trail.failed({ ...theGateway, request }, 'token_login')
  }
  await trail.close()
  expect(told).toHaveLength(most + 1)
  expect(told.at(-1)).toMatchObject({
    event: 'user_login_failed',
    actor: { activity: 'token_login', request: { ip_address: 'several' } },
    details: { count: 1 },
  })
})
