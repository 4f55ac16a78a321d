/** Where sockets of a data thread read to. */

const READ_BYTES = 65_536

/**
 * What is read goes to one place, whatever connection it comes from: libuv asks for memory, reads and reports
 * in one go, and all of it is used or copied within the report. Elsewhere than on Unix the read may be under
 * way for longer.
 */
const shared = process.platform === 'win32' ? null : Buffer.allocUnsafeSlow(READ_BYTES)

export function readBuffer(): Buffer {
  return shared ?? Buffer.allocUnsafeSlow(READ_BYTES)
}
