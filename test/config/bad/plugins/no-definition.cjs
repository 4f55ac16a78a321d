module.exports = [{ name: 'acme', create: () => ({}) }]
