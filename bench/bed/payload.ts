/** What travels: the answer of 400 bytes, the POST of 1 KB, and the words that prove a body arrived. */

/** Stands in every answer; a collector that never saw it got no response body. */
export const answerWord = 'bench-answer'
/** Stands in every POST; a collector that never saw it got no request body. */
export const orderWord = 'bench-order'

function padded(fields: Record<string, unknown>, bytes: number): string {
  const bare = JSON.stringify({ ...fields, note: '' })
  return JSON.stringify({ ...fields, note: 'lorem ipsum '.repeat(200).slice(0, bytes - bare.length) })
}

export const answerBody = padded(
  { id: answerWord, status: 'accepted', total: 129.5, currency: 'EUR', items: [{ sku: 'A-1', quantity: 2 }] },
  400,
)

export const orderBody = padded(
  { id: orderWord, customer: { name: 'Ada Lovelace', city: 'London' }, items: [{ sku: 'A-1', quantity: 2 }] },
  1024,
)

export type Shape = 'get' | 'post'
export const shapes: readonly Shape[] = ['get', 'post']

export const requestPath = '/orders/42?page=2'

/** Headers that an API client typically sends besides Host. */
export const requestHeaders: Readonly<Record<string, string>> = {
  accept: 'application/json',
  'user-agent': 'bench/1.0',
  authorization: 'Bearer 0123456789abcdef0123456789abcdef',
}
