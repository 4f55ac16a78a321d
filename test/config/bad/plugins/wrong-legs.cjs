const own = require('./own.cjs')
const throws = () => {
  throw new TypeError('cannot read properties of undefined')
}

module.exports = [
  { ...own, name: 'legless', legs: () => [] },
  { ...own, name: 'halved', legs: () => [{ name: 'requests', half: 'request', url: 'nowhere' }] },
  { ...own, name: 'throwing', legs: throws },
  { ...own, name: 'ruling', rule: throws },
]
