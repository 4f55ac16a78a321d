const own = require('./own.cjs')

module.exports = { ...own, name: 'clash', options: { type: 'object', properties: { batch: { type: 'string' } } } }
