// Another Felix before ours, and after ours. With upstream's recorded rules, and packets all the time.
import { type Conntrack, inNamespace, openConntrack } from '@calico-openstack/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FloodFlow, flood } from '../testing/flood.ts';
import { asAdministrator, type Plugged, type Probe, TestHost } from '../testing/host.ts';
import { leaveUpstreams, type UpstreamMode, upstreamModes, withoutChance } from '../testing/leavings.ts';
import { endpointNumber, securityGroup, tapOf, workloadEndpoint } from '../testing/resources.ts';

const udp = (destinationPort: number, sourcePort?: number): Probe => ({ protocol: 17, destinationPort, ...(sourcePort && { sourcePort }) });
const tcp = (destinationPort: number, sourcePort: number, tcpFlags: number): Probe => ({ protocol: 6, destinationPort, sourcePort, tcpFlags });
const [syn, synAck, ack] = [0x02, 0x12, 0x10];
/** What our rules allow between one and two. Upstream's recorded rules allow everything. */
const open = securityGroup('open', [
  { action: 'Allow', protocol: 17, destination: { ports: [7000] } },
  { action: 'Allow', protocol: 6, destination: { ports: [7000] } },
  { action: 'Allow', protocol: 17, source: { nets: ['10.64.0.0/16', '10.65.0.0/28', '10.67.0.0/17'] }, destination: { ports: [7001] } },
  { action: 'Allow', protocol: 'ICMP', ipVersion: 4 },
]);
const families = [4, 6] as const;

let host: TestHost;
let conntrack: Conntrack;
let [one, two, three]: [Plugged, Plugged, Plugged] = [] as never;

beforeEach(async () => {
  host = await TestHost.open();
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
  three = await host.plug(endpointNumber(3));
  conntrack = inNamespace(host.name, openConntrack);
  await host.put(open, workloadEndpoint(one), workloadEndpoint(two), workloadEndpoint(three));
});
afterEach(async () => {
  conntrack.close();
  await host.close();
});

/** The host as upstream's Felix leaves it, with one and two, and with three, whose VM was started later. */
async function upstreams(mode: UpstreamMode): Promise<void> {
  await host.exec('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  for (const each of [one, two, three]) {
    for (const address of each.addresses) {
      await host.exec('ip', 'route', 'replace', address, 'dev', tapOf(each), 'proto', 'boot', 'metric', '1024');
      await host.exec('ip', 'neigh', 'replace', address, 'lladdr', each.mac, 'dev', tapOf(each), 'nud', 'permanent');
    }
  }
  await leaveUpstreams(host, mode);
}

/** The next packets of each side, in a connection of each kind from one to two that upstream allowed. */
type Flow = readonly [from: () => Plugged, to: () => Plugged, probe: Probe, family: 4 | 6];
const flows: readonly Flow[] = [
  ...families.flatMap((family): Flow[] => [
    [() => one, () => two, udp(7000, 555), family],
    [() => two, () => one, udp(555, 7000), family],
    [() => one, () => two, tcp(7000, 556, ack), family],
    [() => two, () => one, tcp(556, 7000, ack), family],
  ]),
  [() => one, () => two, { protocol: 1, icmp: { type: 8, code: 0 } }, 4],
];

async function begin(): Promise<void> {
  for (const family of families) {
    expect(await host.passes(one, two, tcp(7000, 556, syn), family)).toBe(true);
    expect(await host.passes(two, one, tcp(556, 7000, synAck), family)).toBe(true);
  }
  expect(await goOn()).toEqual(flows.map(() => true));
}
const goOn = async (): Promise<boolean[]> => Promise.all(flows.map(([from, to, probe, family]) => host.passes(from(), to(), probe, family)));

type Traffic = {
  /** Says in losses what happens from now on. */
  phase(name: string): void;
  stop(): Promise<{ readonly lost: readonly string[]; readonly forbidden: readonly number[]; readonly order: readonly number[] }>;
};

/** Sends packets of each flow, and of a new connection that our rules deny, until it is stopped. */
function traffic(): Traffic {
  const sent: { readonly probe: number; readonly flow: string; readonly atMs: number }[] = [];
  const order: number[] = [];
  const phases = [{ name: 'the start', atMs: performance.now() }];
  let going = true;
  const ended = (async () => {
    while (going) {
      for (const [from, to, probe, family] of flows)
        sent.push({ probe: host.send(from(), to(), probe, family), flow: `${JSON.stringify(probe)} ${family}`, atMs: performance.now() });
      order.push(host.send(one, two, udp(7999)));
      await new Promise((resolve) => setTimeout(resolve, 3));
      host.readArrivals();
    }
  })();
  /** When a packet was sent, and since what. */
  const told = ({ flow, atMs }: (typeof sent)[number]): string => {
    const phase = phases.findLast((each) => each.atMs <= atMs)!;
    return `${flow}: ${(atMs - phase.atMs).toFixed(1)} ms after ${phase.name}`;
  };
  return {
    phase: (name) => phases.push({ name, atMs: performance.now() }),
    async stop() {
      // What has happened last is judged, too, and a quick take-over on a slow machine leaves little time for packets before.
      const enough = Math.max(order.length + 3, 50);
      while (order.length < enough) await new Promise((resolve) => setTimeout(resolve, 3));
      going = false;
      await ended;
      // On a busy machine packets may wait for seconds. Those that are lost never arrive.
      for (let waits = 0; waits < 100 && sent.some(({ probe }) => !host.arrivalOf(probe)); waits += 1) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        host.readArrivals();
      }
      await new Promise((resolve) => setTimeout(resolve, 200)); // what must not arrive has the same time
      host.readArrivals();
      const lost = sent.filter(({ probe }) => !host.arrivalOf(probe)).map(told);
      return { lost, forbidden: order.filter((probe) => host.arrivalOf(probe)), order };
    },
  };
}

/** Packets without answers from one to two: conntrack keeps them new, so that policy judges each of them. */
const floodFlows = (): FloodFlow[] => [
  { ...host.frameOf(one, two, { protocol: 1, icmp: { type: 8, code: 0 } }), match: 'icmp type echo-request' },
  { ...host.frameOf(one, two, udp(7001, 557)), match: 'meta nfproto ipv4 udp dport 7001' },
  { ...host.frameOf(one, two, udp(7000, 557), 6), match: 'meta nfproto ipv6 udp dport 7000' },
];

/** All objects that may be upstream's, without counters. */
async function standing(): Promise<string> {
  const tables = ['iptables-legacy-save', 'ip6tables-legacy-save', 'iptables-nft-save', 'ip6tables-nft-save'];
  // ip complains when somebody deletes a network namespace while it looks for the names of those that links lead to.
  const commands = ['nft list ruleset', ...tables, 'ipset save', 'ip route', 'ip -6 route', 'ip link 2>/dev/null'];
  return withoutChance(await host.exec('sh', '-c', `{ ${commands.join('; ')}; } 2>&1`));
}

describe.each(upstreamModes)('upstream’s Felix, in its mode %s, before ours', (mode) => {
  test('running flows lose nothing, new workloads pass, nothing that ours denies passes once it was denied, and nothing of upstream’s is left', async () => {
    await upstreams(mode);
    await host.exec('ip', 'route', 'add', '10.65.0.77', 'dev', tapOf(one), 'proto', 'boot', 'metric', '1024'); // a route of a workload that is gone
    await host.exec('ip', 'route', 'add', 'blackhole', '10.66.0.0/26', 'proto', '80');
    await host.exec('ip', 'link', 'add', 'vxlan.calico', 'type', 'vxlan', 'id', '4096', 'dstport', '4789', 'local', '127.0.0.1', 'dev', 'lo');
    await begin();
    expect(await host.passes(one, two, udp(7999))).toBe(true);
    expect(await host.passes(three, two, udp(7000))).toBe(false);
    const sending = traffic();
    host.startAgent();
    await host.untilProgrammed();
    sending.phase('our rules were in force');
    await host.untilSaid('what another Felix had left on this host is removed');
    sending.phase('upstream’s rules were removed');
    await host.untilPasses(three, two, udp(7000));
    await host.until(
      async () => (await host.exec('nft', 'list', 'map', 'inet', 'calico-felix', 'connection-stamps')).includes('0x00040000'),
      'the stamps in force',
    );
    const { lost, forbidden, order } = await sending.stop();
    expect(lost).toEqual([]);
    expect(forbidden).toEqual(order.slice(0, forbidden.length)); // it passed until our rules denied it, and never after that
    expect(forbidden.length).toBeLessThan(order.length);
    expect(await goOn()).toEqual(flows.map(() => true));
    // The address of the workload that is gone stays in a set of ours until its connections are cut.
    const upstreamsOrGone = /cali-|cali[46]0|table ip6? calico |calico-arp|10\.65\.0\.77|10\.66\.0\.0|vxlan\.calico/;
    await host.until(async () => !upstreamsOrGone.test(await standing()), 'nothing of upstream’s to be left');
  });

  test('no packet in flight is lost when ours take over, nor when upstream’s decide alone again', async () => {
    await upstreams(mode);
    await begin();
    const nothingLost = floodFlows().map(({ match }) => [match, { came: expect.toSatisfy((came: number) => came > 1000), lost: 0 }]);
    const takeOver = await flood(host, floodFlows(), async () => {
      host.startAgent();
      await host.untilSaid('what another Felix had left on this host is removed');
    });
    await host.stopAgent();
    const wayBack = await flood(host, floodFlows(), async () => {
      await leaveUpstreams(host, mode);
      await remove();
    });
    expect({ takeOver, wayBack }).toEqual({ takeOver: Object.fromEntries(nothingLost), wayBack: Object.fromEntries(nothingLost) });
  });

  test('with a wrong address of etcd ours cuts nobody off, and leaves nothing when it ends', async () => {
    await upstreams(mode);
    await begin();
    const before = await standing();
    const sending = traffic();
    host.startAgent(undefined, { ETCD_ENDPOINTS: 'http://127.0.0.1:9', FELIX_ETCDENDPOINTS: 'http://127.0.0.1:9' });
    await host.untilSaid('they stay until the datastore has been read');
    await host.untilSaid('etcd is away');
    await host.stopAgent();
    const { lost, forbidden, order } = await sending.stop();
    expect(lost).toEqual([]);
    expect(forbidden).toEqual(order);
    expect(await standing()).toBe(before);
  });

  test('upstream’s rules go while ours wait for etcd: everything is closed', async () => {
    await upstreams(mode);
    await begin();
    host.startAgent(undefined, { ETCD_ENDPOINTS: 'http://127.0.0.1:9', FELIX_ETCDENDPOINTS: 'http://127.0.0.1:9' });
    await host.untilSaid('etcd is away');
    await host.exec('sh', '-c', 'nft flush ruleset; for each in iptables-legacy ip6tables-legacy; do $each -F FORWARD; done');
    await host.untilPasses(one, two, udp(7000), false);
    expect(await goOn()).toEqual(flows.map(() => false));
  });

  test('what is an operator’s stays, whatever it is called, and what uses upstream’s is told', async () => {
    await upstreams(mode);
    await host.exec('nft', 'table inet calico { chain mine { counter; }; }; table netdev calico { chain mine { counter; }; }');
    const iptables = mode === 'iptables-nft' ? 'iptables-nft' : 'iptables-legacy';
    const script = [
      `${iptables} -N DOCKER-USER`,
      `${iptables} -A FORWARD -m comment --comment "leads to cali-FORWARD" -j DOCKER-USER`,
      `${iptables} -N cali-mine`,
      `${iptables} -A cali-mine -s 192.0.2.1 -j RETURN`,
      `${iptables} -A FORWARD -m comment --comment "say --comment cali:AAAAAAAAAAAAAAAA" -j ACCEPT`,
      ...(mode === 'nftables'
        ? []
        : [`${iptables} -A DOCKER-USER -j cali-cidr-block`, `${iptables} -A DOCKER-USER -m set --match-set cali40this-host src -j RETURN`]),
      'ipset create mine hash:ip',
      'ipset create cali40 hash:ip',
      'ip link add calico0 type vxlan id 77 dstport 4790 local 127.0.0.1 dev lo',
      'ip route add 192.0.2.77 dev lo proto static',
    ];
    await host.exec('sh', '-ec', script.join('\n'));
    host.startAgent();
    await host.untilSaid('is removed');
    await host.untilPasses(three, two, udp(7000));
    const after = await standing();
    for (const kept of [
      'table inet calico',
      'table netdev calico',
      'DOCKER-USER',
      'cali-mine',
      'say --comment',
      'create mine',
      'create cali40 ',
      'calico0',
      '192.0.2.77',
    ])
      expect(after).toContain(kept);
    for (const gone of ['cali-FORWARD -', 'cali-fw-', 'table ip calico {', 'cali40masq']) expect(after).not.toContain(gone);
    if (mode === 'nftables') return;
    await host.untilSaid('chain cali-mine of table filter: it holds a rule that is not Felix');
    await host.untilSaid('chain cali-cidr-block of table filter, emptied');
    await host.untilSaid('ipset cali40this-host: something else uses it');
  });

  test('ours before upstream’s: --remove takes all that is ours away, running flows lose nothing, and upstream’s decide alone', async () => {
    host.startAgent();
    await host.untilProgrammed();
    await host.untilPasses(one, two, udp(7000));
    await begin();
    const sending = traffic();
    await expect(remove()).rejects.toThrow('calico-felix runs on this host');
    await host.stopAgent();
    sending.phase('our agent ended');
    await expect(remove()).rejects.toThrow('nothing would police this host');
    expect(await host.exec('nft', 'list', 'tables')).toContain('table inet calico-felix');
    await leaveUpstreams(host, mode, (file) => sending.phase(`the restore of ${file} began`)); // as upstream's Felix does when it starts
    expect(await host.passes(one, two, udp(7999))).toBe(false);
    sending.phase('--remove began');
    await host.exec('ip', 'route', 'add', 'blackhole', '10.65.0.99/32', 'proto', '3', 'metric', '4294967295'); // of a workload that was leaving
    const told = await remove();
    sending.phase('--remove ended');
    expect(told).toContain('removed: 1 blackhole routes');
    expect(await host.exec('ip', 'route', 'show', 'type', 'blackhole')).not.toContain('10.65.0.99');
    expect(told).toContain('removed: tables inet calico-felix and arp calico-felix');
    expect(told).toContain('left: routes');
    await host.untilPasses(one, two, udp(7999)); // upstream's recorded rules allow it
    const { lost } = await sending.stop();
    expect(lost).toEqual([]);
    expect(await host.passes(three, two, udp(7000))).toBe(false); // upstream's rules do not know three yet
    expect(await host.exec('nft', 'list', 'ruleset')).not.toContain('calico-felix');
    expect((await conntrack.flows()).filter(({ mark = 0 }) => (mark & 0xc0000) !== 0)).toEqual([]);
    expect(await remove()).not.toContain('removed: table'); // it can be called again
  });
});

test('a Felix of upstream’s that was not stopped is told, and its rules are taken away again', async () => {
  host.startAgent();
  await host.untilProgrammed();
  const [atStart, beside] = ['what another Felix had left on this host is removed', 'have appeared beside ours'];
  await leaveUpstreams(host, 'nftables');
  await host.until(() => [atStart, beside].some((text) => host.output.includes(text)), 'the rules to be found');
  if (!host.output.includes(beside)) await leaveUpstreams(host, 'nftables'); // the first search was still under way, and has found them
  await host.untilSaid(beside);
});

/** The command of upstream's own Felix, for whoever has it. It polices in iptables mode, unless its environment says otherwise. */
const upstreamsOwn = process.env.UPSTREAM_FELIX;

test.skipIf(upstreamsOwn === undefined)('upstream’s own Felix before ours, after ours, and ours again: running flows lose nothing', async () => {
  const startUpstreams = (): void => host.startAgent(['sh', '-c', `exec ${upstreamsOwn}`], { ...asAdministrator, FELIX_IPTABLESBACKEND: 'Legacy' });
  for (const each of [one, two, three]) {
    // Guests answer for their IPv6 addresses, as these workloads do not; upstream's has no neighbours for them.
    const address = each.addresses.find((text) => text.includes(':'))!;
    await host.exec('ip', 'neigh', 'replace', address, 'lladdr', each.mac, 'dev', tapOf(each), 'nud', 'permanent');
  }
  startUpstreams();
  for (const family of families) await host.untilPasses(one, two, udp(7000), true, family);
  await host.untilPasses(one, two, udp(7999), false);
  await begin();
  const sending = traffic();
  await host.stopAgent();
  host.startAgent();
  await host.untilSaid('what another Felix had left on this host is removed');
  await host.untilPasses(three, two, udp(7000));
  expect(await standing()).not.toMatch(/cali-|cali[46]0/);

  await host.stopAgent();
  startUpstreams();
  await host.until(async () => (await standing()).includes(`cali-tw-${tapOf(two)}`), 'upstream’s rules');
  await new Promise((resolve) => setTimeout(resolve, 3000)); // what it does after its rules
  expect(await remove()).toContain('removed: tables inet calico-felix and arp calico-felix');
  await host.untilPasses(three, two, udp(7000));
  expect(await host.passes(one, two, udp(7999))).toBe(false);

  await host.stopAgent();
  host.output = '';
  host.startAgent();
  await host.untilSaid('what another Felix had left on this host is removed');
  const { lost, forbidden } = await sending.stop();
  expect(lost).toEqual([]);
  expect(forbidden).toEqual([]);
});

describe('a Felix of upstream’s that polices IPv4 alone', () => {
  const ipv6 = async (): Promise<string> => host.exec('sysctl', '-n', `net.ipv6.conf.${tapOf(one)}.disable_ipv6`);
  async function ipv4Alone(): Promise<void> {
    await leaveUpstreams(host, 'nftables');
    await host.exec('nft', 'delete', 'table', 'ip6', 'calico');
  }

  test('--remove refuses while a workload has an IPv6 address, and closes interfaces to IPv6 where none has; ours open them again for one that gets it', async () => {
    host.startAgent();
    await host.untilPasses(one, two, udp(7000), true, 6);
    await host.stopAgent();
    await ipv4Alone();
    await expect(remove()).rejects.toThrow(/in IPv6, so nothing was removed: the other Felix polices IPv4 alone/);

    const ipv4Of = (each: Plugged): Plugged => ({ ...each, addresses: each.addresses.filter((address) => !address.includes(':')) });
    await host.put(...[one, two, three].map((each) => workloadEndpoint(ipv4Of(each))));
    host.output = '';
    host.startAgent();
    await host.untilSaid('what another Felix had left on this host is removed');
    await host.stopAgent();
    await ipv4Alone();
    // Whatever leads there, even so.
    const way = ['dev', tapOf(two), 'proto', 'static'];
    for (const address of two.addresses.filter((each) => each.includes(':'))) {
      await host.exec('ip', 'route', 'replace', address, ...way);
      await host.exec('ip', 'neigh', 'replace', address, 'lladdr', two.mac, 'dev', tapOf(two), 'nud', 'permanent');
    }
    expect(await remove()).toContain('left: IPv6 switched off (sysctl disable_ipv6) on 3 interfaces');
    await host.untilPasses(one, two, udp(7999));
    expect(await host.passes(one, two, udp(7999), 6)).toBe(false);
    expect(await ipv6()).toBe('1\n');

    await host.put(workloadEndpoint(one), workloadEndpoint(two));
    host.startAgent();
    await host.untilPasses(one, two, udp(7000), true, 6);
    expect(await ipv6()).toBe('0\n');
  });
});

const remove = (): Promise<string> => host.exec(process.execPath, new URL('../bin/calico-felix.ts', import.meta.url).pathname, '--remove');
