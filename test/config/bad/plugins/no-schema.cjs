module.exports = { ...require('./own.cjs'), name: 'loose', options: { url: 'text' } }
