import { describe, expect, test } from 'vitest';
import { plan } from '../plan/plan.ts';
import { host, lookups, nodeSpec, resourcesOf, type Specs } from '../testing/facts.ts';
import type { BirdConfiguration, Session } from './configuration.ts';
import { printConfiguration, textOf } from './print.ts';

const session: Session = {
  symbol: "'peer4-tor'",
  family: 4,
  local: { address: '192.0.2.1' as never, port: 179, asNumber: 64512 },
  neighbor: { address: '192.0.2.250' as never, port: 179, asNumber: 64500 },
  passive: false,
  transport: { kind: 'multihop', hops: undefined },
  ttlSecurity: false,
  password: undefined,
  restartSeconds: undefined,
  keepaliveSeconds: undefined,
  holdSeconds: undefined,
  bfd: false,
  isOneOfMany: false,
  nextHop: 'auto',
  allowedLocalAsNumbers: undefined,
  reflector: undefined,
  trust: 'external',
  ownAddresses: [],
  filters: [],
  reachableBy: undefined,
};
const guards = { own: [], networks: [], hosts: [], moving: [], workloads: [] };
const family = { nodeAddress: undefined, normalRoutePriority: 1024, exportPrefixes: [], advertisements: [], guards };
const base: BirdConfiguration = {
  logFile: 'syslog',
  logSeverity: 'Info',
  routerId: '192.0.2.1' as never,
  workloadInterfacePrefixes: ['cali', 'tap'],
  deviceRouteProtocol: 3,
  ignoredInterfaces: [],
  bindToNodeAddress: false,
  holdSeconds: 90,
  restartWaitSeconds: 15,
  mostRoutes: undefined,
  families: { 4: family, 6: family },
  sessions: [],
};

const linesOf = (change: Partial<BirdConfiguration>): readonly string[] =>
  textOf(printConfiguration({ ...base, ...change }))
    .split('\n')
    .map((line) => line.trim().replace(/^filter calico_(import|export)_[a-z0-9]{12} /, '$1 filter '));
const sessionLines = (change: Partial<Session>, more: Partial<BirdConfiguration> = {}): readonly string[] =>
  linesOf({ ...more, sessions: [{ ...session, ...change }] });

test('a plain session', () => {
  const text = textOf(printConfiguration({ ...base, sessions: [session] }));
  expect(text.slice(text.indexOf('template bgp')).replaceAll(/(calico_(?:import|export|session)_)\w+/g, '$1@')).toBe(`template bgp calico_session_@
{
  local 192.0.2.1 port 179 as 64512;
  multihop;
  hold time 90;
  connect delay time 1;
  connect retry time 10;
  error wait time 1, 30;
  graceful restart on;
  ipv4 {
    gateway recursive;
    igp table calico_igp4;
    import keep filtered on;
    rpki reload off;
    import filter calico_import_@;
    export filter calico_export_@;
  };
}

protocol bgp 'peer4-tor' from calico_session_@
{
  neighbor 192.0.2.250 port 179 as 64500;
}

`);
});

test('sessions that differ in neighbour and password alone share one template; those that let in and out the same share one filter each way', () => {
  const sessions: readonly Session[] = [
    session,
    { ...session, symbol: "'peer4-b'", neighbor: { ...session.neighbor, address: '192.0.2.251' as never }, password: '"s3cret"' },
    { ...session, symbol: "'peer4-c'", keepaliveSeconds: 10 },
    { ...session, symbol: "'peer4-d'", trust: 'host' },
  ];
  const text = textOf(printConfiguration({ ...base, sessions }));
  const count = (pattern: RegExp): number => [...text.matchAll(pattern)].length;
  expect([count(/^filter calico_import_/gm), count(/^filter calico_export_/gm), count(/^template bgp /gm)]).toEqual([2, 1, 3]);
  const uses = [...text.matchAll(/^protocol bgp \S+ from (\S+)$/gm)].map(([, name]) => name);
  expect([uses[0] === uses[1], new Set(uses).size]).toEqual([true, 3]);
  const imports = [...text.matchAll(/^ {4}import filter (calico_import_\S+);/gm)].map(([, name]) => name);
  expect([imports[0] === imports[1], imports[0] === imports[2]]).toEqual([true, false]);
});

test('no name is made of a password', () => {
  const names = (password: string): readonly string[] =>
    [...textOf(printConfiguration({ ...base, sessions: [{ ...session, password }] })).matchAll(/calico_(?:import|export|session)_\w+/g)].map(([name]) => name);
  expect(names('"one"')).toEqual(names('"other"'));
});

describe('each field of a session is a line', () => {
  test.each<readonly [Partial<Session>, string]>([
    [{ local: { ...session.local, address: undefined } }, 'local port 179 as 64512;'],
    [{ passive: true }, 'passive on;'],
    [{ transport: { kind: 'direct' } }, 'direct;'],
    [{ transport: { kind: 'multihop', hops: 3 } }, 'multihop 3;'],
    [{ ttlSecurity: true }, 'ttl security on;'],
    [{ password: '"s3cret"' }, 'password "s3cret";'],
    [{ restartSeconds: 30 }, 'graceful restart time 30;'],
    [{ keepaliveSeconds: 10 }, 'keepalive time 10;'],
    [{ keepaliveSeconds: 60 }, 'hold time 180;'],
    [{ holdSeconds: 30 }, 'hold time 30;'],
    [{ bfd: true }, 'bfd on;'],
    [{ bfd: true }, 'protocol bfd calico_bfd'],
    [{ isOneOfMany: true }, 'debug off;'],
    [{ nextHop: 'self' }, 'next hop self on;'],
    [{ nextHop: 'keep' }, 'next hop keep on;'],
    [{ allowedLocalAsNumbers: 2 }, 'allow local as 2;'],
    [{ reflector: { clusterId: '1.0.0.1' as never, neighborIsClient: true } }, 'rr client;'],
    [{ reflector: { clusterId: '1.0.0.1' as never, neighborIsClient: false } }, 'rr cluster id 1.0.0.1;'],
    [
      { reflector: { clusterId: '1.0.0.1' as never, neighborIsClient: false } },
      'export filter { calico_prepare_export4(); calico_step_back4(64512); calico_export4(true); };',
    ],
    [{ reachableBy: '10.0.0.1' as never }, 'route 192.0.2.250/32 via 10.0.0.1;'],
    [{ trust: 'host' }, 'import filter { calico_admit(1); calico_outside = 64512; calico_accept_import(); };'],
    [{ neighbor: { ...session.neighbor, asNumber: 64512 } }, 'import filter { calico_admit(2); calico_accept_import(); };'],
    [{ neighbor: { ...session.neighbor, asNumber: 64512 } }, 'export filter { calico_prepare_export4(); calico_own_next_hop4(); calico_export4(false); };'],
    [{ trust: 'nextDoor' }, 'import filter { calico_admit(3); calico_outside = 64512; calico_accept_import(); };'],
    [{ filters: [{ name: 'x', filter: undefined }] }, 'import filter { calico_admit(2); calico_outside = 64512; reject; calico_accept_import(); };'],
    [{ filters: [{ name: 'x', filter: undefined }] }, 'export filter { calico_prepare_export4(); calico_step_back4(64512); reject; calico_export4(false); };'],
  ])('%j: %s', (change, line) => {
    expect(sessionLines(change)).toContain(line);
    expect(sessionLines({})).not.toContain(line);
  });
  test('a session of many is as talkative as others where an operator wants to hear all', () =>
    expect(sessionLines({ isOneOfMany: true }, { logSeverity: 'Debug' })).not.toContain('debug off;'));
  test('a session that is bound to its address says so, one without address cannot', () => {
    expect(sessionLines({}, { bindToNodeAddress: true })).toContain('strict bind on;');
    expect(sessionLines({ local: { ...session.local, address: undefined } }, { bindToNodeAddress: true })).not.toContain('strict bind on;');
  });
  test('what an operator’s filters refuse of an external peer is not kept: it may be a whole routing table', () => {
    const filters = [{ name: 'x', filter: undefined }];
    expect(sessionLines({ filters })).not.toContain('import keep filtered on;');
    expect(sessionLines({ filters, trust: 'host' })).toContain('import keep filtered on;');
  });
  test('a direct session looks no next hops up', () => expect(sessionLines({ transport: { kind: 'direct' } })).not.toContain('gateway recursive;'));
});

describe('each field of the whole is a line', () => {
  test.each<readonly [Partial<BirdConfiguration>, string]>([
    [{ logFile: '"/var/log/bird.log"' }, 'log "/var/log/bird.log" { info, remote, warning, error, auth, fatal, bug, trace };'],
    [{ logSeverity: 'Warning' }, 'log syslog { warning, error, auth, fatal, bug };'],
    [{ logSeverity: 'Debug' }, 'debug protocols all;'],
    [{ logSeverity: 'Error' }, 'debug protocols off;'],
    [{ routerId: '9.9.9.9' as never }, 'router id 9.9.9.9;'],
    [
      { ignoredInterfaces: ['docker*', 'lxc'] },
      'export where ! (source = RTS_DEVICE && (ifname ~ "docker*" || ifname ~ "lxc")) && (source != RTS_BGP || (defined(calico_trust) && calico_trust = 3));',
    ],
    [{ restartWaitSeconds: 7 }, 'graceful restart wait 7;'],
    [
      { families: { ...base.families, 4: { ...family, exportPrefixes: ['10.9.0.0/16' as never] } } },
      'if source = RTS_INHERIT && net ~ [ 10.9.0.0/16+ ] && ! calico_concealed_network4() then accept;',
    ],
    [{ families: { ...base.families, 4: { ...family, normalRoutePriority: 2000 } } }, 'if source = RTS_INHERIT then bgp_local_pref = 2147481647;'],
    [
      {
        families: {
          ...base.families,
          6: {
            ...family,
            advertisements: [
              {
                cidr: '2001:db8::/32' as never,
                communities: [
                  [1, 2],
                  [3, 4, 5],
                ],
              },
            ],
          },
        },
      },
      'if net ~ [ 2001:db8::/32+ ] then { bgp_community.add((1, 2)); bgp_large_community.add((3, 4, 5)); }',
    ],
  ])('%j: %s', (change, line) => {
    expect(linesOf(change)).toContain(line);
    expect(linesOf({})).not.toContain(line);
  });
  test('no workload interfaces: nothing is a workload’s route', () => {
    expect(linesOf({ workloadInterfacePrefixes: [] }).find((line) => line.startsWith('return source'))).toContain('&& (false) &&');
  });
});

describe('a BGPFilter is a function for each direction and family that is used', () => {
  const spec = {
    importV4: [
      { action: 'Accept', cidr: '10.0.0.0/8', matchOperator: 'In', prefixLength: { max: 24 }, operations: [{ setPriority: { value: 512 } }] },
      { action: 'Reject', cidr: '10.0.0.0/8', matchOperator: 'NotEqual', source: 'RemotePeers', interface: 'eth*', peerType: 'eBGP' },
      { action: 'Reject' },
    ],
    exportV4: [
      {
        action: 'Accept',
        communities: { values: ['1:2:3'] },
        asPathPrefix: [1, 2],
        priority: 512,
        peerType: 'iBGP',
        operations: [{ addCommunity: { value: '1:2' } }, { prependASPath: { prefix: [7, 8] } }],
      },
      { action: 'Accept', cidr: '10.0.0.0/24', matchOperator: 'NotIn', prefixLength: { max: 8 } },
      { action: 'Perhaps' },
    ],
  };
  const specs: Specs = {
    'nodes/h1': nodeSpec(1),
    'bgpconfigurations/default': { nodeToNodeMeshEnabled: false },
    'bgpfilters/f': spec,
    'bgppeers/tor': { peerIP: '192.0.2.250', asNumber: 64500, filters: ['f'] },
  };
  const result = plan(resourcesOf(specs), host(), lookups);
  const text = result.ok ? textOf(printConfiguration(result.configuration)) : '';
  test('rules become conditions in their order', () => {
    expect(text).toContain(`function 'import4-f'(bool calico_external)
{
  if (net ~ [ 10.0.0.0/8{8,24} ]) then { bgp_local_pref = 2147483135; calico_accept_import(); }
  if (net != 10.0.0.0/8) && (source = RTS_BGP) && (ifname ~ "eth*") && (calico_external) then { reject; }
  reject;
}
`);
    expect(text).toContain(`function 'export4-f'(bool calico_external)
{
  if (! calico_external) && ((1, 2, 3) ~ bgp_large_community) && (bgp_path ~ [= 1 2 * =]) && (defined(bgp_local_pref) && bgp_local_pref = 2147483135) then { bgp_community.add((1, 2)); bgp_path.prepend(8); bgp_path.prepend(7); accept; }
  if (true) then { accept; }
  reject; # the next rule is not understood
}
`);
  });
  test('the session calls them before what is built in, and never before what no filter may announce', () => {
    expect(text).toContain(" { calico_admit(3); calico_outside = 64512; 'import4-f'(true); calico_accept_import(); };");
    expect(text).toContain(" { calico_prepare_export4(); calico_step_back4(64512); 'export4-f'(true); calico_export4(false); };");
  });
});

describe('the revision', () => {
  test('stands in the text, and is another for another configuration', () => {
    const one = printConfiguration(base);
    expect(textOf(one)).toContain(`define calico_revision = "${one.revision}";`);
    expect(printConfiguration({ ...base, holdSeconds: 9, sessions: [session] }).revision).not.toBe(one.revision);
    expect(printConfiguration(structuredClone(base))).toEqual(one);
  });
});
