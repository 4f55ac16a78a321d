const own = require('./own.cjs')

module.exports = { ...own, name: 'typo', options: { type: 'object', properties: { url: { type: 'strng' } } } }
