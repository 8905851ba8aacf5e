// The rooms' order (ARCHITECTURE.md): who may import whom. A room that is not listed may import anything.
const mayImport = {
  datamodel: [],
  etcd: [],
  kernel: [],
  agent: [],
  oracle: [],
  policy: ['datamodel'],
  render: ['datamodel', 'kernel'],
  felix: ['agent', 'datamodel', 'etcd', 'kernel', 'policy', 'render'],
  'dhcp-agent': ['agent', 'datamodel', 'etcd', 'kernel'],
  'bird-agent': ['agent', 'datamodel', 'etcd', 'kernel', 'policy'], // policy: BGPPeer's selectors
  'neutron-driver': ['agent', 'datamodel', 'etcd', 'kernel'],
};

/** Tests may reach further: they compare rooms with one another. */
const test = '\\.test\\.ts$|/testing/';

module.exports = {
  forbidden: [
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'bundled-code-is-declared',
      comment: 'What an executable needs stands in dependencies, not in devDependencies.',
      severity: 'error',
      from: { path: '^packages/', pathNot: test },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    ...Object.entries(mayImport).map(([room, others]) => ({
      name: `rooms-order-${room}`,
      comment: `${room} may import ${others.length > 0 ? others.join(', ') : 'nothing of ours'}.`,
      severity: 'error',
      from: { path: `^packages/${room}/`, pathNot: test },
      to: { path: '^(packages|lab|bench)/', pathNot: `^packages/(${[room, ...others].join('|')})/` },
    })),
    {
      name: 'pure-rooms-do-no-io',
      severity: 'error',
      from: { path: '^packages/(datamodel|policy|oracle|render)/', pathNot: test },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
    },
    {
      name: 'render-knows-only-the-types-of-kernel',
      comment: 'Values and types of kernel objects, never a socket.',
      severity: 'error',
      from: { path: '^packages/render/', pathNot: test },
      to: { path: '^packages/kernel/src/(netlink|.*/[a-z-]*netlink)', dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'], extensions: ['.ts', '.js', '.json'] },
  },
};
