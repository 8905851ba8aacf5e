// For tests: compares the verdicts of calculated and rendered rules, evaluated on tables in memory, with those of the oracle. The two implementations of policy share no code.
import { addressBytes, addressOf, type IpAddress, macBytes, parseCidr } from '@calico-openstack/addresses';
import type { WorkloadId } from '@calico-openstack/datamodel';
import type { Link, LinkAddress } from '@calico-openstack/kernel/links/link';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { type FakeTable, fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { createOracle, type HostOnPath, type HostPath, type Packet } from '@calico-openstack/oracle';
import { createPolicyCalculation } from '@calico-openstack/policy';
import { applyEdits, defaultRenderOptions, type FailsafePort, Renderer, type WorkloadDevice } from '@calico-openstack/render';
import fc from 'fast-check';
import { HostInterfaces } from '../host-endpoints.ts';
import { type Cluster, cluster, localHost, type Shot, shot } from '../testing/clusters.ts';
import { type TestEndpoint, tapOf } from '../testing/resources.ts';

/** The host's own interfaces, with their addresses. Remote workloads are behind the first. */
const interfaces: ReadonlyMap<string, readonly string[]> = new Map([
  ['lo', ['127.0.0.1', '::1']],
  ['eth0', ['10.0.0.1']],
  ['eth1', ['10.130.0.99', 'fe80::1']],
  ['eth2', []],
]);
const links = {
  links: new Map([...interfaces].map(([name]) => [name, { name, running: true } as Link])),
  link: (name: string) => links.links.get(name),
  addresses: (name: string) => (interfaces.get(name) ?? []).map((address) => ({ address }) as LinkAddress),
};
const isWorkloads = (name: string): boolean => name.startsWith('tap');

const inbound: readonly FailsafePort[] = [
  { protocol: 'tcp', port: 22 },
  { protocol: 'udp', port: 5000, net: parseCidr('10.130.0.0/16')! },
];
const outbound: readonly FailsafePort[] = [
  { protocol: 'udp', port: 53 },
  { protocol: 'tcp', port: 8080, net: parseCidr('fd00:10::81:0/112')! },
];
const host: HostOnPath = { node: localHost, interfaces, isWorkloads, inbound, outbound };

/** A host in memory. Clusters come one after the other, as changes. */
function livingHost() {
  const calculation = createPolicyCalculation({ host: localHost });
  const tables = { inet: fakeTable('inet', 'calico-felix'), arp: fakeTable('arp', 'calico-felix') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer({ ...defaultRenderOptions, interfacePrefixes: ['tap'], failsafes: { inbound, outbound } });
  const governed = new HostInterfaces(links, isWorkloads);
  applyEdits(programmers, renderer.start());
  let held: ReadonlyMap<string, string> = new Map();
  /** The interface that each address leads to. */
  const routes = new Map<string, string>();
  const devices = new Map<WorkloadId, WorkloadDevice>();
  return {
    become({ values }: Cluster): void {
      for (const key of held.keys()) if (!values.has(key)) calculation.update(key, undefined);
      for (const [key, value] of values) if (held.get(key) !== value) calculation.update(key, new TextEncoder().encode(value));
      held = values;
      const change = calculation.flush();
      const rendering = renderer.render(change, governed.take(change.hostEndpoints, 0));
      for (const [id, device] of rendering.devices) {
        if (device) devices.set(id, device);
        else devices.delete(id);
      }
      routes.clear();
      for (const { interfaceName: name, routes: destinations, liveMigrationRole } of devices.values())
        if (liveMigrationRole !== 'target') for (const cidr of destinations) routes.set(addressOf(cidr), name);
      const [rejected] = applyEdits(programmers, rendering.tables);
      if (rejected) throw rejected.error;
      programmers.inet.apply();
      programmers.arp.apply();
    },
    verdict: (each: Shot): 'allow' | 'deny' => judge(tables.inet, routes, each),
    pathVerdict: (path: HostPath): 'allow' | 'deny' => onPath(tables.inet, fieldsOf(path.packet), path),
  };
}

const word = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
const number = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const port = (value: number): Uint8Array => word(value >> 8, value & 255);

function interfaceName(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(text));
  return bytes;
}

function fieldsOf(packet: Packet): Map<Field, Uint8Array> {
  const v6 = packet.source.includes(':');
  const fields = new Map<Field, Uint8Array>([
    ['meta nfproto', word(v6 ? 10 : 2)],
    ['meta l4proto', word(packet.protocol)],
    [v6 ? 'ip6 saddr' : 'ip saddr', addressBytes(packet.source as IpAddress)],
    [v6 ? 'ip6 daddr' : 'ip daddr', addressBytes(packet.destination as IpAddress)],
    ['ct state', number(8)],
  ]);
  if (packet.destinationPort !== undefined) {
    fields.set('th sport', port(packet.sourcePort ?? 0));
    fields.set('th dport', port(packet.destinationPort));
  }
  if (packet.icmpType !== undefined) {
    fields.set(v6 ? 'icmpv6 type' : 'icmp type', word(packet.icmpType));
    fields.set(v6 ? 'icmpv6 code' : 'icmp code', word(packet.icmpCode ?? 0));
  }
  return fields;
}

function judge(table: FakeTable, routes: ReadonlyMap<string, string>, { from, to, question: { packet } }: Shot): 'allow' | 'deny' {
  const fields = fieldsOf(packet);
  fields.set('ether saddr', macBytes(from.mac));
  fields.set('fib saddr . mark . iif oif', number(from.host !== localHost || routes.get(packet.source) === tapOf(from) ? 1 : 0));
  const path = { in: interfaceOf(from), out: interfaceOf(to) };
  // A packet that leads elsewhere is not delivered, whatever the rules say.
  return to.host === localHost && routes.get(packet.destination) !== tapOf(to) ? 'deny' : onPath(table, fields, path);
}

const interfaceOf = (end: TestEndpoint): string => (end.host === localHost ? tapOf(end) : 'eth0');

/** Sends a packet through the hooks that it meets on its way. */
function onPath(table: FakeTable, fields: Map<Field, Uint8Array>, { in: from, out: to }: Pick<HostPath, 'in' | 'out'>): 'allow' | 'deny' {
  const input = interfaceName(from ?? '');
  const output = interfaceName(to ?? '');
  const steps = [
    ...(from === undefined ? [] : (['prerouting'] as const)),
    from === undefined ? 'output' : to === undefined ? 'input' : 'forward',
    ...(to === undefined ? [] : (['postrouting'] as const)),
  ] as const;
  fields.set('ct status', number(0));
  for (const hook of steps) {
    fields.set('meta iif', number(from === undefined ? 0 : 7));
    fields.set('meta iifname', hook === 'output' || hook === 'postrouting' ? interfaceName('') : input);
    fields.set('meta oifname', hook === 'prerouting' || hook === 'input' ? interfaceName('') : output);
    const { verdict, mark, tracked } = table.evaluate(hook, fields);
    if (verdict === 'drop') return 'deny';
    fields.set('meta mark', number(mark));
    if (!tracked) fields.set('ct state', number(64));
  }
  return 'allow';
}

/** The result of a comparison. */
export type Comparison = {
  /** How many verdicts were compared. */
  readonly pairs: number;
  /** How many packets the oracle allowed. */
  readonly allowed: number;
  /** The first packet on which the two differ, with what reproduces it. */
  readonly difference?: object;
};

/** The ways of these packets to and from the host itself, and through it. */
function pathsOf(shots: readonly Shot[]): HostPath[] {
  const names = [...interfaces.keys()];
  return shots.slice(0, 12).flatMap(({ question: { packet } }, index) => {
    const [one, other] = [names[index % names.length]!, names[(index + 1 + (index >> 2)) % names.length]!];
    const answering = packet.destinationPort !== undefined && { ...packet, sourcePort: packet.destinationPort, destinationPort: 40000 };
    return [packet, ...(answering ? [answering] : [])].flatMap((each): HostPath[] => [
      { host, in: one, packet: each },
      { host, out: one, packet: each },
      ...(one === 'lo' || other === 'lo' ? [] : [{ host, in: one, out: other, packet: each }]),
    ]);
  });
}

/** Gives one host `clusters` random clusters, one after the other, and compares the verdicts on `packets` packets in each. The same seed leads to the same clusters and packets. */
export function compareWithOracle(options: { readonly clusters: number; readonly packets: number; readonly seed: number }): Comparison {
  let [pairs, allowed] = [0, 0];
  const living = livingHost();
  for (let number = 0; number < options.clusters; number += 1) {
    const seed = options.seed + number;
    const [next] = fc.sample(cluster, { numRuns: 1, seed });
    living.become(next!);
    const oracle = createOracle(next!.values);
    const shots = fc.sample(shot, { numRuns: options.packets, seed });
    for (const each of shots) {
      const answer = oracle.ask(each.question);
      const onWay = oracle.askPath({ host, in: interfaceOf(each.from), out: interfaceOf(each.to), packet: each.question.packet });
      const expected = answer.verdict === 'allow' ? onWay.verdict : 'deny';
      pairs += 1;
      if (expected === 'allow') allowed += 1;
      const verdict = living.verdict(each);
      if (verdict !== expected) return { pairs, allowed, difference: { seed, calculated: verdict, oracle: answer, onWay, question: each.question } };
    }
    for (const path of next!.hostEndpoints.length === 0 ? [] : pathsOf(shots)) {
      const answer = oracle.askPath(path);
      const verdict = living.pathVerdict(path);
      pairs += 1;
      if (answer.verdict === 'allow') allowed += 1;
      if (verdict !== answer.verdict) {
        const { in: from, out: to, packet } = path;
        return { pairs, allowed, difference: { seed, calculated: verdict, oracle: answer, from, to, packet, hostEndpoints: next!.hostEndpoints } };
      }
    }
  }
  return { pairs, allowed };
}
