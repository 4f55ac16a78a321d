module.exports = require('./salt.cjs')[0]
