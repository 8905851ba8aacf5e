import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { describe, expect, test } from 'vitest';
import { type ResyncHow, type ResyncSummary, resync } from './resync.ts';
import { parseRequest, type ResyncScope } from './resync-scope.ts';
import { createRightPorts } from './right-ports.ts';
import type { RuleRow } from './rows.ts';
import type { Background } from './sources.ts';
import { felixConfigurationKey, keysOf, type Settings } from './sync/plan.ts';
import { createSync } from './sync/sync.ts';
import { stampsOver } from './testing/background.ts';
import { database } from './testing/database.ts';
import { bindingRow, floatingIpRow, portRow, ruleRow, subnetRow } from './testing/rows.ts';
import { addresses, defaultQosOptions } from './testing/settings.ts';

const settings: Settings = { keys: keysOf(undefined), qos: defaultQosOptions };
const root = '/calico/resources/v3/projectcalico.org';

function setUp() {
  const { etcd: fake, contents } = fakeEtcd();
  /** An etcd that refuses a value as if the request were too large. */
  const etcd: Etcd = {
    ...fake,
    transact: async (when, then, otherwise) => {
      if (then.some((operation) => 'put' in operation && operation.value.length > 100_000))
        throw new EtcdError('ETCD_REFUSED', 'etcdserver: request is too large');
      if (then.some((operation) => 'put' in operation && operation.put === settings.keys.networkSet('lone'))) await state.lone;
      return fake.transact(when, then, otherwise);
    },
  };
  const db = database();
  const state: {
    beforePage?: (kind: string) => void;
    beforeRows?: (ports: readonly string[]) => void;
    /** What Keystone, and the write of the address group `lone`, wait for. */
    keystone: Promise<unknown>;
    lone: Promise<unknown>;
    revisions: boolean;
    /** What the next step of a resync waits for. */
    turn: () => Promise<void>;
  } = {
    keystone: Promise.resolve(),
    lone: Promise.resolve(),
    revisions: true,
    turn: async () => {},
  };
  /** The time of the clock that durations are measured with. */
  const time = { steadyMs: 5 };
  const inDepth: string[] = [];
  const stamps = stampsOver(db);
  const source: Background = {
    ...db.source,
    page: async (kind, after, limit) => {
      state.beforePage?.(kind);
      const ids = db
        .ids(kind)
        .filter((id) => id > after)
        .slice(0, Math.min(limit, 2));
      return { ids, rows: db.read({ ports: [], subnets: [], security_groups: [], address_groups: [], [kind]: ids }) };
    },
    rows: async (question) => {
      state.beforeRows?.(question.ports);
      inDepth.push(...question.ports);
      return db.source.rows(question);
    },
    sharedStamp: async () => (state.revisions ? stamps.sharedStamp() : undefined),
    portStamps: async (after, limit) => {
      state.beforePage?.('ports');
      return stamps.portStamps(after, Math.min(limit, 2));
    },
    portsOf: async (of, id) => {
      const ports = [...db.tables.ports.values()];
      return ports
        .filter((port) => (of === 'network' ? port.network_id === id : port.fixed_ips.some(({ subnet_id }) => subnet_id === id)))
        .map((port) => port.id);
    },
    setPortStatus: () => Promise.reject(new Error('not asked for')),
    notifyPortActive: () => Promise.reject(new Error('not asked for')),
    setFloatingIpStatus: () => Promise.reject(new Error('not asked for')),
    notCarriedOut: async () => [],
    reportAgents: () => Promise.reject(new Error('not asked for')),
  };
  /** Keystone knows none of the projects. */
  const lookUp = async (ids: readonly string[]) => {
    await state.keystone;
    return new Map(ids.map((id) => [id, undefined]));
  };
  const projects = Object.assign(lookUp, { forget: () => {} });
  const wrote: string[] = [];
  const failed: string[] = [];
  const rightPorts = createRightPorts();
  const run = (scope?: ResyncScope, how?: ResyncHow): Promise<ResyncSummary> => {
    inDepth.length = 0;
    return resync(
      {
        etcd,
        source,
        sync: createSync({ etcd, settings, projects, addresses }),
        settings,
        projects,
        addresses,
        rightPorts,
        onWrote: (changes) => wrote.push(...changes.map(({ id }) => id)),
        onFailed: ({ id }) => failed.push(id),
        onWarning: () => {},
        givingWay: { turns: () => () => state.turn() },
        clock: { steadyMs: () => time.steadyMs, nowMs: Date.now },
      },
      scope,
      how,
    );
  };
  const fill = (): void => {
    db.tables.address_groups.set('office', { id: 'office', name: 'office', addresses: ['10.0.0.0/8'] });
    for (const id of ['g1', 'g2', 'g3'])
      db.tables.security_groups.set(id, { id, name: id, stateful: true, rules: [ruleRow({ security_group_id: id, remote_address_group_id: 'office' })] });
    for (const id of ['s1', 's2']) db.tables.subnets.set(id, subnetRow({ id }));
    for (const id of ['p1', 'p2', 'p3', 'p4', 'p5']) db.tables.ports.set(id, portRow({ id, security_groups: ['g1'], bindings: [bindingRow('h1')] }));
  };
  return { etcd, contents, db, run, fill, state, time, wrote, failed, inDepth, rightPorts };
}
test('a resync waits for its turn before it reads a page, and before it reads stamps or ports', async () => {
  const { run, fill, state } = setUp();
  fill();
  const steps: string[] = [];
  state.turn = async () => void steps.push('turn');
  state.beforePage = (kind) => steps.push(kind);
  state.beforeRows = (ports) => ports.length > 0 && steps.push('rows');
  await run();
  const read = steps.filter((step) => step !== 'turn' && step !== 'rows');
  expect(read.length).toBeGreaterThan(10);
  for (const [index, step] of steps.entries()) if (read.includes(step)) expect(steps[index - 1]).toBe('turn');
  expect(steps[steps.indexOf('rows') - 1]).toBe('turn');
});

test('what is there and would be refused is listed, and stands in the way of nothing', async () => {
  const { db, run, fill } = setUp();
  fill();
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  db.tables.subnets.set('s2', subnetRow({ id: 's2', network_id: 'other', cidr: '10.40.0.128/25', gateway_ip: '10.40.0.129' }));
  db.tables.ports.set('p3', portRow({ id: 'p3', bindings: [bindingRow('h1')], allowed_address_pairs: [{ ip_address: '192.0.2.1', mac_address: '' }] }));
  const summary = await run();
  expect(summary).toMatchObject({ ok: true, complete: true, would_be_refused_total: 3 });
  expect(summary.would_be_refused).toEqual([
    { kind: 'subnet', id: 's1', what: "the subnet's prefix 10.40.0.0/24 overlaps 10.40.0.128/25, another subnet's prefix (subnet s2)" },
    { kind: 'subnet', id: 's2', what: "the subnet's prefix 10.40.0.128/25 overlaps 10.40.0.0/24, another subnet's prefix (subnet s1)" },
    { kind: 'port', id: 'p3', what: "the allowed address pair 192.0.2.1 lies outside of the network's subnets (10.40.0.0/24)" },
  ]);
});

const counts = (summary: ResyncSummary): unknown =>
  Object.fromEntries(Object.entries(summary.phases).map(([name, { correct, created, updated, deleted }]) => [name, [correct, created, updated, deleted]]));

test('an empty etcd is filled, and a second look finds everything right and writes nothing', async () => {
  const { etcd, run, fill } = setUp();
  fill();
  const first = await run();
  expect(first).toMatchObject({ scope: { all: true }, ok: true, error: null });
  expect(counts(first)).toEqual({ subnets: [0, 2, 0, 0], address_groups: [0, 1, 0, 0], policy: [0, 3, 0, 0], endpoints: [0, 5, 0, 0] });
  const { revision } = await etcd.get('/');
  expect(counts(await run())).toEqual({ subnets: [2, 0, 0, 0], address_groups: [1, 0, 0, 0], policy: [3, 0, 0, 0], endpoints: [5, 0, 0, 0] });
  expect((await etcd.get('/')).revision).toBe(revision);
});

test('what is missing is made, what differs is put right, what is too much goes; what others own stays', async () => {
  const { etcd, contents, db, run, fill, wrote } = setUp();
  fill();
  await run();
  const right = contents();
  wrote.length = 0;
  const endpoint = (port: string, host = 'h1'): string => settings.keys.endpoint({ host, device: portRow().device_id }, port);
  await etcd.transact(
    [],
    [
      { put: endpoint('p1'), value: 'torn' },
      { delete: endpoint('p2') },
      { put: endpoint('p3', 'h9'), value: '{}' },
      { put: endpoint('gone'), value: '{}' },
      { put: `${root}/workloadendpoints/openstack/h1-openstack--gone`, value: '{}' },
      { put: settings.keys.policy('gone'), value: '{}' },
      { put: settings.keys.subnet('s1'), value: '{}' },
      { put: settings.keys.networkSet('gone'), value: '{}' },
    ],
  );
  const others = {
    [`${root}/networkpolicies/openstack/theirs`]: '{}',
    [`${root}/networksets/openstack/theirs`]: '{}',
    [`${root}/workloadendpoints/openstack/h1-k8s-pod-eth0`]: '{}',
    [`${root}/networkpolicies/other/ossg.default.g1`]: '{}',
  };
  await etcd.transact(
    [],
    Object.entries(others).map(([put, value]) => ({ put, value })),
  );
  expect(counts(await run())).toEqual({ subnets: [1, 0, 1, 0], address_groups: [1, 0, 0, 1], policy: [3, 0, 0, 1], endpoints: [2, 1, 1, 3] });
  const now = contents();
  for (const [key, value] of Object.entries(others)) expect(now[key]).toBe(value);
  const meaning = (text: string | undefined): unknown => JSON.parse(text ?? '{}').spec;
  for (const key of Object.keys(right)) expect(meaning(now[key])).toEqual(meaning(right[key]));
  expect(Object.keys(now).sort()).toEqual([...Object.keys(right), ...Object.keys(others)].sort());
  expect(wrote.toSorted()).toEqual(['gone', 'gone', 'gone', 'p1', 'p2', 'p3', 's1']);
  void db;
});

describe('ports that were right are read in depth again only', () => {
  const [all, keyOf] = [['p1', 'p2', 'p3', 'p4', 'p5'], (port: string, host = 'h1') => settings.keys.endpoint({ host, device: portRow().device_id }, port)];
  /** A filled world whose ports a resync has found right. */
  async function settled() {
    const w = setUp();
    w.fill();
    await w.run();
    await w.run();
    const { phases } = await w.run();
    expect(w.inDepth).toEqual([]);
    expect(phases['endpoints']).toMatchObject({ neutron_items: 5, correct: 5 });
    return w;
  }

  test('after a change of the port or of its floating IPs in Neutron', async () => {
    const { db, run, inDepth } = await settled();
    db.tables.ports.set('p2', { ...db.tables.ports.get('p2')!, mac_address: 'fa:16:3e:99:99:99' });
    db.floatingIps.push(floatingIpRow({ id: 'f', fixed_port_id: 'p4' }));
    db.tables.ports.delete('p5');
    expect(counts(await run())).toMatchObject({ endpoints: [2, 0, 2, 1] });
    expect(inDepth.filter((id, at) => inDepth.indexOf(id) === at)).toEqual(['p2', 'p4', 'p5']);
    expect(counts(await run())).toMatchObject({ endpoints: [4, 0, 0, 0] });
    expect(inDepth).toEqual(['p2', 'p4']);
    await run();
    expect(inDepth).toEqual([]);
  });

  test('after a change of any of their keys in etcd, by whomever', async () => {
    const { etcd, contents, run } = await settled();
    const before = contents();
    await etcd.transact([], [{ put: keyOf('p1'), value: 'torn' }, { delete: keyOf('p2') }, { put: keyOf('p3', 'h9'), value: '{}' }, { delete: keyOf('p5') }]);
    await etcd.transact([], [{ put: keyOf('p5'), value: before[keyOf('p5')]! }]);
    expect(counts(await run())).toMatchObject({ endpoints: [2, 1, 1, 1] });
    expect(Object.keys(contents())).toEqual(Object.keys(before));
  });

  test.each<readonly [string, (w: Awaited<ReturnType<typeof settled>>) => unknown]>([
    ['a security group is renamed', ({ db }) => db.tables.security_groups.set('g1', { ...db.tables.security_groups.get('g1')!, name: 'renamed' })],
    ['FelixConfiguration is written', ({ etcd }) => etcd.transact([], [{ put: felixConfigurationKey, value: '{}' }])],
    ['Neutron counts no revisions', ({ state }) => Object.assign(state, { revisions: false })],
    ['etcd was restored', ({ rightPorts }) => rightPorts.forget()],
  ])('all of them, when %s', async (_what, happen) => {
    const w = await settled();
    await happen(w);
    await w.run();
    expect([...new Set(w.inDepth)]).toEqual(all);
  });

  test('all of them, when an operator asks for it', async () => {
    const { run, inDepth } = await settled();
    await run(undefined, { deep: true });
    expect(inDepth).toEqual(all);
  });

  test('never: those with address pairs, since their floating IPs depend on other ports', async () => {
    const { db, run, inDepth } = await settled();
    db.tables.ports.set('p3', { ...db.tables.ports.get('p3')!, allowed_address_pairs: [{ ip_address: '10.40.0.9', mac_address: '' }] });
    for (let passes = 0; passes < 3; passes += 1) await run();
    expect(inDepth).toEqual(['p3']);
  });
});

test('what changes while it compares is not undone by what it read before', async () => {
  const { etcd, contents, db, run, fill, state } = setUp();
  fill();
  await run();
  // After the resync has read etcd, API calls create one port and delete another, each with its endpoint.
  const sync = createSync({ etcd, settings, addresses, projects: async () => new Map() });
  let once = true;
  const live: Promise<unknown>[] = [];
  state.beforePage = (kind) => {
    if (kind !== 'ports' || !once) return;
    once = false;
    db.tables.ports.set('p0', portRow({ id: 'p0', security_groups: ['g1'], bindings: [bindingRow('h1')] }));
    db.tables.ports.delete('p4');
    const slots = [{ host: 'h1', device: portRow().device_id }];
    live.push(
      sync(
        [
          { kind: 'port', id: 'p0', slots },
          { kind: 'port', id: 'p4', slots },
        ],
        db.source,
        Date.now() + 1000,
      ),
    );
  };
  expect((await run()).ok).toBe(true);
  await Promise.all(live);
  const ports = Object.keys(contents(`${root}/workloadendpoints/`)).map((key) => key.slice(-2));
  expect(ports).toEqual(['p0', 'p1', 'p2', 'p3', 'p5']);
});

test('what goes wrong stands in the summary', async () => {
  const { run, state } = setUp();
  state.beforePage = () => {
    throw new Error('the database is away');
  };
  expect(await run()).toMatchObject({ ok: false, error: 'the database is away' });
});

test('rows that cannot be read while those before them are compared stand in the summary, and end no process', async () => {
  const away = (): never => {
    throw new Error('the database is away');
  };
  const paged = setUp();
  paged.fill();
  let pages = 0;
  paged.state.beforePage = () => {
    pages += 1;
    if (pages === 2) {
      paged.state.keystone = setImmediate(); // the page fails while the one before it is still compared
      away();
    }
  };
  expect(await paged.run()).toMatchObject({ ok: false, error: 'the database is away' });
  const named = setUp();
  named.fill();
  named.state.beforeRows = (ports) => {
    if (!ports.includes('p501')) return;
    named.state.keystone = setImmediate();
    away();
  };
  const ports = Array.from({ length: 501 }, (_, index) => `p${index + 1}`);
  expect(await named.run(parseRequest({ ports })!.scope)).toMatchObject({ ok: false, error: 'the database is away' });
});

test('the objects of a refused batch are each waited for', async () => {
  const { contents, db, run, state } = setUp();
  db.tables.address_groups.set('huge', { id: 'huge', name: 'huge', addresses: Array.from({ length: 10_000 }, (_, n) => `10.0.${n >> 8}.${n & 255}/32`) });
  db.tables.address_groups.set('lone', { id: 'lone', name: 'lone', addresses: ['10.1.0.0/16'] });
  const gate = Promise.withResolvers<void>();
  state.lone = gate.promise;
  const endings: string[] = [];
  const ended = run().then(() => endings.push('resync'));
  for (let turns = 0; turns < 100; turns += 1) await setImmediate();
  endings.push('write');
  gate.resolve();
  await ended;
  expect(endings).toEqual(['write', 'resync']);
  expect(contents()[settings.keys.networkSet('lone')]).toBeDefined();
});

test('an endpoint that is missing at its host is created, although another one of its port goes', async () => {
  const { etcd, run, fill } = setUp();
  fill();
  await run();
  const endpoint = (host: string): string => settings.keys.endpoint({ host, device: portRow().device_id }, 'p1');
  await etcd.transact([], [{ delete: endpoint('h1') }, { put: endpoint('h9'), value: '{}' }]);
  expect(counts(await run())).toMatchObject({ endpoints: [4, 1, 0, 0] });
});

test('objects that an operator names are all compared, however many they are', async () => {
  const { db, run, fill } = setUp();
  fill();
  db.tables.ports.set('p501', portRow({ id: 'p501', security_groups: ['g1'], bindings: [bindingRow('h1')] }));
  const ports = Array.from({ length: 501 }, (_, index) => `p${index + 1}`);
  const { phases } = await run(parseRequest({ ports })!.scope);
  expect(phases['endpoints']).toMatchObject({ neutron_items: 501, created: 6 });
});

test('each page and each batch of repairs is progress, and nothing else is', async () => {
  const { run, fill } = setUp();
  fill();
  const seen: string[] = [];
  const how: ResyncHow = { onProgress: ({ phase, neutron_items, created }) => void seen.push(`${phase} ${neutron_items} ${created}`) };
  await run(undefined, how);
  // Ports are read in three pages, and compared in one batch, which is repaired.
  expect(seen.splice(0).filter((line) => line.startsWith('endpoints'))).toEqual([...Array(3).fill('endpoints 0 0'), ...Array(2).fill('endpoints 5 5')]);
  await run();
  await run(undefined, how);
  expect(seen.filter((line) => line.startsWith('endpoints'))).toEqual(['endpoints 2 0', 'endpoints 4 0', 'endpoints 5 0']);
});

test('the summary says how long each phase took, and its reading of Neutron', async () => {
  const { run, fill, state, time } = setUp();
  fill();
  state.beforePage = (kind) => {
    if (kind === 'subnets') time.steadyMs += 1000;
  };
  const { phases, total_ms } = await run();
  expect(phases['subnets']).toMatchObject({ total_ms: 2000, neutron_read_ms: 2000, etcd_read_ms: 0 }); // two pages, the last of them empty
  expect(phases['endpoints']).toMatchObject({ total_ms: 0, neutron_read_ms: 0 });
  expect(total_ms).toBe(2000);
});

test('a dry run counts what would be written, and writes nothing', async () => {
  const { contents, run, fill, wrote } = setUp();
  fill();
  const summary = await run(undefined, { dryRun: true });
  expect(summary).toMatchObject({ ok: true, dry_run: true });
  expect(counts(summary)).toEqual({ subnets: [0, 2, 0, 0], address_groups: [0, 1, 0, 0], policy: [0, 3, 0, 0], endpoints: [0, 5, 0, 0] });
  expect([contents(), wrote]).toEqual([{}, []]);
});

test('an object that etcd does not take holds up no other, and the whole is known to have been looked at', async () => {
  const { contents, db, run, fill, failed } = setUp();
  fill();
  db.tables.address_groups.set('huge', { id: 'huge', name: 'huge', addresses: Array.from({ length: 10_000 }, (_, n) => `10.0.${n >> 8}.${n & 255}/32`) });
  const summary = await run();
  expect(summary).toMatchObject({ ok: false, complete: true, error: expect.stringMatching(/1 objects/) });
  expect(failed).toEqual(['huge']);
  expect(counts(summary)).toEqual({ subnets: [0, 2, 0, 0], address_groups: [0, 1, 0, 0], policy: [0, 3, 0, 0], endpoints: [0, 5, 0, 0] });
  expect(Object.keys(contents()).filter((key) => key.includes('huge'))).toEqual([]);
});

test('objects that an operator names are compared alone, with what belongs to them, and what Neutron has no more of them goes', async () => {
  const { contents, db, run, fill } = setUp();
  fill();
  await run();
  const before = contents();
  for (const id of ['p2', 'p3']) db.tables.ports.delete(id);
  db.tables.security_groups.get('g1')!.rules = [];
  const scope = parseRequest({ ports: ['p1', 'p2'], include_sgs_for_ports: true })!.scope;
  const summary = await run(scope);
  expect(summary).toMatchObject({ ok: true, scope: { all: false, ports: ['p1', 'p2'], include_sgs_for_ports: true } });
  expect(counts(summary)).toEqual({ policy: [0, 0, 1, 0], endpoints: [1, 0, 0, 1] });
  const gone = Object.keys(before).filter((key) => !(key in contents()));
  expect(gone).toEqual(Object.keys(before).filter((key) => key.includes('-p2')));
});

test('a network stands for its subnets and ports, a subnet for the ports with addresses of it', async () => {
  const { db, run, fill } = setUp();
  fill();
  const [port, subnet] = [db.tables.ports.get('p1')!, db.tables.subnets.get('s1')!];
  db.tables.ports.set('p9', { ...port, id: 'p9', network_id: 'other', fixed_ips: [] });
  expect(counts(await run(parseRequest({ networks: [subnet.network_id] })!.scope))).toMatchObject({ subnets: [0, 2, 0, 0], endpoints: [0, 5, 0, 0] });
  expect(counts(await run(parseRequest({ subnets: [port.fixed_ips[0]!.subnet_id] })!.scope))).toMatchObject({ endpoints: [5, 0, 0, 0] });
});

test.each([{ ports: [7] }, { ports: 'p1' }, { port: ['p1'] }, []])('%j is no scope, and nothing named is everything', (wrong) => {
  expect(parseRequest(wrong)).toBeUndefined();
  expect(parseRequest(undefined)).toEqual({ scope: { all: true }, dryRun: false, deep: false, progress: false });
  expect(parseRequest({ ports: [], dry_run: true })).toEqual({ scope: { all: true }, dryRun: true, deep: false, progress: false });
});

/** What upstream's driver of 2025 had in etcd for two ports, recorded from a real one on Neutron 20, and the same cloud in Neutron's rows. */
function upstreams(world: ReturnType<typeof setUp>) {
  const values = JSON.parse(readFileSync(new URL('testing/leavings/upstream.json', import.meta.url), 'utf8')) as Record<string, Recorded>;
  const { tables } = world.db;
  const [web, clients] = ['b858371a-d384-42d0-9123-4fe950ac4cab', '419cdfe8-b254-4ee6-bb6a-442058417073'];
  const network = 'a80101cc-d83e-4bf0-9a33-8856e13964d6';
  const [four, six] = ['008b71d2-2a57-449b-b674-d377e8d5d8bb', '5aeb59f9-9e72-4e1b-85d6-a137cb8e78a2'];
  const subnet = { network_id: network, host_routes: [] };
  tables.subnets.set(four, subnetRow({ ...subnet, id: four, cidr: '10.65.0.0/24', gateway_ip: '10.65.0.1', dns_nameservers: ['192.0.2.53'] }));
  tables.subnets.set(six, subnetRow({ ...subnet, id: six, cidr: '2001:db8:65::/64', gateway_ip: '2001:db8:65::1' }));
  const rules = (group: string, ...more: readonly Partial<RuleRow>[]): RuleRow[] =>
    [{ direction: 'egress', ethertype: 'IPv4' } as const, { direction: 'egress', ethertype: 'IPv6' } as const, ...more].map((rule, at) =>
      ruleRow({ id: `${group}-${at}`, security_group_id: group, ...rule }),
    );
  const http = { protocol: 'tcp', port_range_min: 80, port_range_max: 80, remote_group_id: clients };
  const ping = { remote_group_id: clients };
  const ofWeb = [
    { ethertype: 'IPv4', ...http },
    { ethertype: 'IPv6', ...http },
    { ethertype: 'IPv4', protocol: 'icmp', ...ping },
    { ethertype: 'IPv6', protocol: 'ipv6-icmp', ...ping },
  ] as const;
  tables.security_groups.set(web, { id: web, name: 'web', stateful: true, rules: rules(web, ...ofWeb) });
  tables.security_groups.set(clients, { id: clients, name: 'clients', stateful: true, rules: rules(clients) });
  for (const { spec } of Object.values(values)) {
    if (spec?.endpoint === undefined) continue;
    const [ipv4 = '', ipv6 = ''] = spec.ipNetworks!.map((each) => each.split('/')[0]!);
    const fixed = [
      { ip_address: ipv4, subnet_id: four },
      { ip_address: ipv6, subnet_id: six },
    ];
    const group = spec.interfaceName === 'tapff6d9a0b-94' ? web : clients;
    const port = { id: spec.endpoint, network_id: network, device_id: spec.workload!, mac_address: spec.mac!, security_groups: [group] };
    tables.ports.set(port.id, portRow({ ...port, fixed_ips: fixed, bindings: [bindingRow('host-1')] }));
  }
  return values;
}
type Recorded = {
  readonly metadata?: { readonly uid: string; readonly creationTimestamp: string; readonly labels?: Record<string, string> };
  readonly spec?: {
    readonly endpoint?: string;
    readonly workload?: string;
    readonly mac?: string;
    readonly interfaceName?: string;
    readonly ipNetworks?: readonly string[];
  };
};

test('what upstream’s driver has left is brought up to date under its keys, and not deleted for a moment', async () => {
  const w = setUp();
  const values = upstreams(w);
  await w.etcd.transact(
    [],
    Object.entries(values).map(([put, value]) => ({ put, value: JSON.stringify(value) })),
  );
  const created = async (): Promise<(number | undefined)[]> =>
    Promise.all(Object.keys(values).map(async (key) => (await w.etcd.get(key)).found?.createRevision));
  const before = await created();
  const summary = await w.run();
  expect(summary).toMatchObject({ ok: true, error: null });
  expect(counts(summary)).toEqual({ subnets: [2, 0, 0, 0], address_groups: [0, 0, 0, 0], policy: [0, 0, 2, 0], endpoints: [0, 0, 2, 0] });
  expect(await created()).toEqual(before);
  const contents = w.contents();
  for (const [key, { metadata, spec }] of Object.entries(values)) {
    const now = JSON.parse(contents[key]!) as Recorded;
    // For Felix nothing has changed: the rules may have another order, but each of them allows.
    expect(inOrder(now.spec)).toEqual(inOrder(spec));
    if (!metadata) continue;
    expect(now.metadata).toMatchObject({ uid: metadata.uid, creationTimestamp: metadata.creationTimestamp });
    for (const [label, value] of Object.entries(metadata.labels ?? {})) if (label.startsWith('sg')) expect(now.metadata!.labels).toHaveProperty([label], value);
  }
});

/** The same, with lists in the order of their texts. */
const inOrder = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inOrder).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  if (typeof value !== 'object' || value === null) return value;
  const keys = Object.keys(value).toSorted();
  return Object.fromEntries(keys.map((key) => [key, inOrder((value as Record<string, unknown>)[key])]));
};
