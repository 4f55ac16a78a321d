module.exports = { ...require('./own.cjs') }
