module.exports = { ...require('./own.cjs'), name: 'strange', formats: ['xml'] }
