const limits = { batch_bytes: 1e6, batch_items: 10, item_bytes: 1000 }
const options = { type: 'object', properties: {} }
const legs = () => [{ name: 'exchanges', half: 'exchange', url: 'nowhere' }]
const shared = { summary: 'Taken.', options, formats: ['exchange'], urls: [], limits, legs, create: () => ({}) }

module.exports = [{ name: 'own', ...shared }, { name: 'salt', ...shared }]
