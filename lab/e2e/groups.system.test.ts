// Security groups, tested with packets: what they let in and out, and what a change of rules or of membership does.
import { beforeAll, describe, expect, test } from 'vitest';
import type { Fields, SecurityGroup } from '../openstack.ts';
import { capture, listen, ping, reach } from '../traffic.ts';
import type { Vm } from '../vm.ts';
import { addRule, addressOf, etherTypes, everything, type Family, families, groupOf, labOfThisFile, untilTheyTalk, vmOn } from './world.ts';

const world = labOfThisFile('groups', { hosts: 2 });

/** The VM whose group the tests change. */
let server: Vm;
/** A VM on the server's host, and one on the other host. Their groups allow everything. */
let near: Vm;
let far: Vm;
let open: SecurityGroup;

/** The UDP ports by which the server's group is recognised: each group that `serverWith` makes opens one of them, in turn. */
const signs = [9, 10] as const;
let sign: (typeof signs)[number] = signs[0];

const listening = [80, 7999, 8000, 8040, 8080, 8081].map((port) => `tcp:${port}`);

beforeAll(async () => {
  open = await groupOf(world.lab, ...everything('ingress'), ...everything('egress'));
  [server, near, far] = await Promise.all([
    vmOn(world, 1, { name: 'server', securityGroups: [] }, families),
    vmOn(world, 1, { name: 'near', securityGroups: [open.id] }, families),
    vmOn(world, 2, { name: 'far', securityGroups: [open.id] }, families),
  ]);
  for (const vm of [server, near, far]) await listen(world.lab, vm, [...listening, 'udp:53', ...signs.map((port) => `udp:${port}`)]);
  await untilTheyTalk(world, [near, far]);
});

type Probe = { readonly from: Vm; readonly to: Vm; readonly family: Family; readonly protocol: 'tcp' | 'udp' | 'ping'; readonly port?: number };

const probe = (protocol: Probe['protocol'], from: Vm, to: Vm, family: Family, port?: number): Probe => ({
  protocol,
  from,
  to,
  family,
  ...(port === undefined ? {} : { port }),
});
const nameOf = ({ from, to, family, protocol, port }: Probe): string => `${protocol} ${port ?? ''} from ${from.facts.name} to ${to.facts.name} by IPv${family}`;

type Outcome = 'through' | 'dropped';

/** The outcome of a probe. `dropped`: nothing came back in time. An ICMP error or a reset makes the test fail, because drops are silent. */
async function outcomeOf(tried: Probe, timeoutMs = 700): Promise<Outcome> {
  const { from, to, family, protocol, port = 0 } = tried;
  const address = addressOf(to, family);
  if (protocol === 'ping') return (await ping(world.lab, from, address, { count: 1, timeoutMs })).received === 1 ? 'through' : 'dropped';
  const came = await reach(world.lab, from, protocol, address, port, { timeoutMs });
  if (came === 'answered') return 'through';
  if (came !== 'silence') throw new Error(`${came}: ${nameOf(tried)}`);
  return 'dropped';
}

/** Checks the outcome of all probes. An answer may take long on a busy machine; for silence, a fixed time is waited. */
async function expectAll(wanted: Outcome, probes: readonly Probe[]): Promise<void> {
  const outcomes = await Promise.all(probes.map(async (each) => [nameOf(each), await outcomeOf(each, wanted === 'through' ? 5_000 : 700)]));
  expect(Object.fromEntries(outcomes)).toEqual(Object.fromEntries(probes.map((each) => [nameOf(each), wanted])));
}

/** Waits until a change has taken effect on packets. */
async function becomes(wanted: Outcome, probes: readonly Probe[]): Promise<void> {
  const isSo = (each: Probe): Promise<true> =>
    world.lab.processes.until(`${wanted}: ${nameOf(each)}`, async () => ((await outcomeOf(each)) === wanted ? true : undefined));
  await Promise.all(probes.map(isSo));
}

const setGroups = async (vm: Vm, ...groups: readonly SecurityGroup[]): Promise<void> => {
  await world.lab.openstack.update('port', vm.facts.portId, { security_groups: groups.map(({ id }) => id) });
};

const inBoth = (rule: Fields): Fields[] => families.map((family) => ({ ...rule, ethertype: etherTypes[family] }));

/**
 * Gives the server a new group with only these rules, and waits until it has taken effect in place of the earlier one: a change of a port's groups is committed as a whole. The group has one
 * more rule, which the earlier group does not have, and which the wait probes.
 */
async function serverWith(...rules: readonly Fields[]): Promise<SecurityGroup> {
  sign = sign === signs[0] ? signs[1] : signs[0];
  const group = await groupOf(world.lab, ...rules, ...inBoth({ direction: 'ingress', protocol: 'udp', port_range_min: sign, port_range_max: sign }));
  await setGroups(server, group);
  await becomes('through', fromOthers('udp', sign));
  return group;
}

const others = (): Vm[] => [near, far];
const fromOthers = (protocol: Probe['protocol'], port?: number): Probe[] =>
  families.flatMap((family) => others().map((from) => probe(protocol, from, server, family, port)));
const toOthers = (protocol: Probe['protocol'], port?: number): Probe[] =>
  families.flatMap((family) => others().map((to) => probe(protocol, server, to, family, port)));

describe('what no rule allows', () => {
  test('does not get in: by TCP, UDP or ping, in either family, from the same host or another', async () => {
    await serverWith(...everything('egress'));
    await expectAll('dropped', [...fromOthers('tcp', 80), ...fromOthers('udp', 53), ...fromOthers('ping')]);
  });

  test('does not get out: by TCP, UDP or ping, in either family, to the same host or another', async () => {
    await serverWith();
    await expectAll('dropped', [...toOthers('tcp', 80), ...toOthers('udp', 53), ...toOthers('ping')]);
  });

  test('is dropped before the VM sees it', async () => {
    await serverWith();
    const watch = await capture(world.lab, server.host, server.facts.tap);
    await expectAll('dropped', fromOthers('tcp', 80));
    await expectAll('through', [probe('udp', near, server, 4, sign)]);
    await watch.seen('the datagram that a rule allows', ({ direction, toPort }) => direction === 'out' && toPort === sign);
    expect(watch.frames.filter(({ direction, toPort }) => direction === 'out' && toPort === 80)).toEqual([]);
    await watch.stop();
  });

  test('of a port without any group, gets neither in nor out', async () => {
    await serverWith(...everything('egress'));
    await setGroups(server);
    await becomes('dropped', [...fromOthers('udp', sign), ...toOthers('tcp', 80)]);
    await expectAll('dropped', [...fromOthers('ping'), ...toOthers('ping'), ...toOthers('udp', 53)]);
  });
});

describe('what a rule allows', () => {
  test('gets out, and the answers come back, although no ingress is allowed', async () => {
    await serverWith(...everything('egress'));
    await expectAll('through', [...toOthers('tcp', 80), ...toOthers('udp', 53), ...toOthers('ping')]);
  });

  test('by prefix, gets in from there only', async () => {
    const only = (family: Family): Fields => ({
      direction: 'ingress',
      ethertype: etherTypes[family],
      protocol: 'tcp',
      port_range_min: 80,
      port_range_max: 80,
      remote_ip_prefix: `${addressOf(far, family)}/${family === 4 ? 32 : 128}`,
    });
    await serverWith(only(4), only(6));
    await expectAll(
      'through',
      families.map((family) => probe('tcp', far, server, family, 80)),
    );
    await expectAll(
      'dropped',
      families.map((family) => probe('tcp', near, server, family, 80)),
    );
  });

  test('by prefix, gets out to there only', async () => {
    const only = (family: Family): Fields => ({
      direction: 'egress',
      ethertype: etherTypes[family],
      remote_ip_prefix: `${addressOf(near, family)}/${family === 4 ? 32 : 128}`,
    });
    await serverWith(only(4), only(6));
    await expectAll(
      'through',
      families.flatMap((family) => [probe('tcp', server, near, family, 80), probe('ping', server, near, family)]),
    );
    await expectAll(
      'dropped',
      families.flatMap((family) => [probe('tcp', server, far, family, 80), probe('ping', server, far, family)]),
    );
  });

  test('by port, gets in to that port only, and by that protocol only', async () => {
    await serverWith(...inBoth({ direction: 'ingress', protocol: 'tcp', port_range_min: 8040, port_range_max: 8040 }));
    await expectAll('through', fromOthers('tcp', 8040));
    await expectAll('dropped', [...fromOthers('tcp', 80), ...fromOthers('tcp', 8000), ...fromOthers('udp', 53), ...fromOthers('ping')]);
  });

  test('by port range, gets in from its first to its last port', async () => {
    await serverWith(...inBoth({ direction: 'ingress', protocol: 'tcp', port_range_min: 8000, port_range_max: 8080 }));
    await expectAll(
      'through',
      [8000, 8040, 8080].flatMap((port) => fromOthers('tcp', port)),
    );
    await expectAll(
      'dropped',
      [7999, 8081].flatMap((port) => fromOthers('tcp', port)),
    );
  });

  test('by ICMP type, gets in with that type only', async () => {
    const icmp = (type4: number, type6: number): Fields[] => [
      { direction: 'ingress', ethertype: 'IPv4', protocol: 'icmp', port_range_min: type4 },
      { direction: 'ingress', ethertype: 'IPv6', protocol: 'ipv6-icmp', port_range_min: type6 },
    ];
    await serverWith(...icmp(8, 128)); // echo requests
    await expectAll('through', fromOthers('ping'));
    await expectAll('dropped', fromOthers('tcp', 80));
    await serverWith(...icmp(13, 129)); // another type
    await expectAll('dropped', fromOthers('ping'));
  });

  test('by two groups, gets in as either of them allows', async () => {
    const tcp = (port: number): Fields[] => inBoth({ direction: 'ingress', protocol: 'tcp', port_range_min: port, port_range_max: port });
    const group = await serverWith(...tcp(80));
    await setGroups(server, group, await groupOf(world.lab, ...tcp(8000)));
    await becomes('through', fromOthers('tcp', 8000));
    await expectAll('through', fromOthers('tcp', 80));
    await expectAll('dropped', fromOthers('tcp', 8040));
  });

  test('by an address group, gets in from its members, also after they have changed', async () => {
    const { openstack } = world.lab;
    const addresses = (vm: Vm): string[] => families.map((family) => `${addressOf(vm, family)}/${family === 4 ? 32 : 128}`);
    const members = await openstack.create('address_group', { name: 'known', addresses: addresses(near) });
    await serverWith(...inBoth({ direction: 'ingress', protocol: 'tcp', port_range_min: 80, port_range_max: 80, remote_address_group_id: members.id }));
    const from = (vm: Vm): Probe[] => families.map((family) => probe('tcp', vm, server, family, 80));
    await becomes('through', from(near));
    await expectAll('dropped', from(far));
    const change = async (verb: string, vm: Vm): Promise<void> => {
      const { status, body } = await openstack.request('PUT', `address-groups/${members.id}/${verb}`, { addresses: addresses(vm) });
      expect(status, body).toBe(200);
    };
    await change('add_addresses', far);
    await becomes('through', from(far));
    await change('remove_addresses', near);
    await becomes('dropped', from(near));
    await expectAll('through', from(far));
  });
});

describe('a change', () => {
  test.each([
    { direction: 'ingress', probes: () => fromOthers('tcp', 80) },
    { direction: 'egress', probes: () => toOthers('tcp', 80) },
  ] as const)('of rules takes effect: a rule of $direction added, then removed', async ({ direction, probes }) => {
    const group = await serverWith();
    await expectAll('dropped', probes());
    const rules = await Promise.all(
      inBoth({ direction, protocol: 'tcp', port_range_min: 80, port_range_max: 80 }).map((rule) => addRule(world.lab, group, rule)),
    );
    await becomes('through', probes());
    for (const rule of rules) await world.lab.openstack.remove('security_group_rule', rule.id);
    await becomes('dropped', probes());
  });

  test('of a remote group’s members takes effect: they get in while they are members', async () => {
    const friends = await groupOf(world.lab);
    const rule = { protocol: 'tcp', remote_group_id: friends.id };
    await serverWith(...inBoth({ direction: 'ingress', ...rule }), ...inBoth({ direction: 'egress', ...rule }));
    const between = (vm: Vm): Probe[] => families.flatMap((family) => [probe('tcp', vm, server, family, 80), probe('tcp', server, vm, family, 80)]);
    await expectAll('dropped', [...between(near), ...between(far)]);
    for (const member of others()) {
      await setGroups(member, open, friends);
      await becomes('through', between(member));
    }
    await setGroups(far, open);
    await becomes('dropped', between(far));
    await expectAll('through', between(near));
    await setGroups(near, open);
    await becomes('dropped', between(near));
  });

  test('of the VM’s own group takes effect: the new group’s rules replace the old one’s', async () => {
    const tcp = (port: number): Fields[] => inBoth({ direction: 'ingress', protocol: 'tcp', port_range_min: port, port_range_max: port });
    const former = await serverWith(...tcp(80));
    const latter = await groupOf(world.lab, ...tcp(8000));
    await expectAll('through', fromOthers('tcp', 80));
    await setGroups(server, latter);
    await becomes('through', fromOthers('tcp', 8000));
    await becomes('dropped', fromOthers('tcp', 80));
    await setGroups(server, former);
    await becomes('through', fromOthers('tcp', 80));
    await becomes('dropped', fromOthers('tcp', 8000));
  });

  test('of one VM’s groups does not affect other VMs', async () => {
    await serverWith(...everything('egress'));
    await expectAll(
      'through',
      families.flatMap((family) => [probe('tcp', near, far, family, 80), probe('ping', far, near, family)]),
    );
  });
});
