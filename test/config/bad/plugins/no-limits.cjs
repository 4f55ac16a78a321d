module.exports = { ...require('./own.cjs'), name: 'endless', limits: { batch_bytes: 1e9 } }
