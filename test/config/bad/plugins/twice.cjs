const own = require('./own.cjs')

module.exports = [{ ...own, name: 'twice' }, { ...own, name: 'twice' }]
