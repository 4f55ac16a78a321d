/** Events as RFC 5424 messages. */
import {
  type Batch,
  type EventLine,
  eventLines,
  eventStatus,
  eventTime,
  OutcomeError,
} from 'mirrorgate/plugin'

/** RFC 5424 §6.2.1, in the order of their numbers. */
export const facilities = [
  'kern',
  'user',
  'mail',
  'daemon',
  'auth',
  'syslog',
  'lpr',
  'news',
  'uucp',
  'cron',
  'authpriv',
  'ftp',
  'ntp',
  'audit',
  'alert',
  'clock',
  'local0',
  'local1',
  'local2',
  'local3',
  'local4',
  'local5',
  'local6',
  'local7',
] as const

interface Settings {
  readonly facility: (typeof facilities)[number]
  readonly app_name: string
  readonly hostname: string
  readonly structured_data_id?: string
  readonly bom: boolean
  /** Longest message, bytes. */
  readonly most: number
}

/** RFC 5424 §6.2.1: error, warning, informational. */
const severities = { error: 3, warning: 4, info: 6 }
const bom = '\ufeff'

/** Makes the messages of a batch; throws `too_large` for one that is too long. */
export function formatter(settings: Settings): (batch: Batch) => Buffer[] {
  const facility = facilities.indexOf(settings.facility) * 8
  // RFC 5424 §6.2.4: whatever a machine is called, a field is printable ASCII.
  const host = fieldOf(settings.hostname, 255)
  const origin = `${host} ${settings.app_name} ${process.pid}`
  return (batch) =>
    [...eventLines(batch)].map((line) => {
      const head = `<${facility + severityOf(line)}>1 ${timeOf(line)} ${origin} ${typeOf(line)}`
      const text = `${head} ${dataOf(line, batch, settings)} ${settings.bom ? bom : ''}`
      const message = Buffer.concat([Buffer.from(text), line.line])
      if (message.length <= settings.most) return message
      const rule = `a message must be at most ${settings.most} bytes`
      throw new OutcomeError('too_large', `${rule}, got ${message.length}`)
    })
}

function severityOf({ event }: EventLine): number {
  const status = eventStatus(event) ?? 0
  if (status >= 500) return severities.error
  return status >= 400 ? severities.warning : severities.info
}

function timeOf({ event }: EventLine): string {
  const time = eventTime(event)
  return time === null ? '-' : new Date(time).toISOString()
}

/** MSGID: what kind of event it is. */
function typeOf({ event }: EventLine): string {
  const type = event?.['event_type'] ?? event?.['type']
  return typeof type === 'string' ? fieldOf(type, 32) : '-'
}

function fieldOf(text: string, chars: number): string {
  const safe = text.replaceAll(/[^!-~]/g, '_').slice(0, chars)
  return safe === '' ? '-' : safe
}

/** RFC 5424 §6.3.3: three characters are escaped. */
function dataOf({ id }: EventLine, { mirror }: Batch, { structured_data_id: data }: Settings): string {
  if (data === undefined) return '-'
  const value = (text: string) => text.replaceAll(/["\\\]]/g, '\\$&')
  return `[${data} source="${value(mirror)}" id="${value(id)}"]`
}
