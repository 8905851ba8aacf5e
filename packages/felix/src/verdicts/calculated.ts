// For tests: compares the verdicts of calculated and rendered rules, evaluated on tables in memory, with those of the oracle. The two implementations of policy share no code.
import { addressBytes, addressOf, type IpAddress, macBytes } from '@calico-openstack/addresses';
import {
  type DesiredChange,
  type EndpointPolicy,
  type LocalHostEndpoint,
  type LocalWorkload,
  type Profile,
  type ProfileId,
  shortDigest,
  type WorkloadId,
} from '@calico-openstack/datamodel';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { type FakeTable, fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { createOracle, type HostQuestion, type Packet, type Place } from '@calico-openstack/oracle';
import { createPolicyCalculation } from '@calico-openstack/policy';
import { applyEdits, defaultRenderOptions, Renderer, type WorkloadDevice } from '@calico-openstack/render';
import fc from 'fast-check';
import { type Cluster, cluster, localHost, type Shot, shot } from '../testing/clusters.ts';
import { tapOf } from '../testing/resources.ts';

const places = ['local', 'forwarded', 'untracked', 'before DNAT'] as const satisfies readonly Place[];
const placeOf: Readonly<Record<Place, (endpoint: LocalHostEndpoint) => EndpointPolicy>> = {
  local: ({ policy }) => policy,
  forwarded: ({ forward }) => forward,
  untracked: ({ untracked }) => untracked,
  'before DNAT': ({ preDnat }) => preDnat,
};

/** A profile that allows what no policy denies. */
const passTheRest: Profile = {
  id: 'rest' as ProfileId,
  ingress: [{ action: 'allow', source: {}, destination: {} }],
  egress: [{ action: 'allow', source: {}, destination: {} }],
};

const standIn = (hostEndpoint: string, place: Place): string => `hep${places.indexOf(place)}${shortDigest(hostEndpoint, 8)}`;

/**
 * Workloads that stand in for host endpoints, one for each place at which a host endpoint has policies. The renderer renders policies but not host endpoints, so packets are sent through
 * these workloads instead. `Pass` in the last tier allows the packet where the endpoint's profiles are not applied.
 */
function standIns(changes: DesiredChange['hostEndpoints']): [WorkloadId, LocalWorkload | undefined][] {
  return [...changes].flatMap(([id, endpoint]) =>
    places.map((place): [WorkloadId, LocalWorkload | undefined] => {
      const name = standIn(id, place);
      const workloadId = name as WorkloadId;
      if (!endpoint) return [workloadId, undefined];
      const policy = placeOf[place](endpoint);
      return [
        workloadId,
        {
          id: workloadId,
          orchestrator: 'test',
          workload: name,
          endpoint: name,
          interfaceName: name,
          addresses: [],
          routed: [],
          ipNats: [],
          allowSpoofedSourcePrefixes: [],
          policy: place === 'local' ? policy : { ...policy, profiles: [passTheRest.id] },
        },
      ];
    }),
  );
}

/** A host in memory. Clusters come one after the other, as changes. */
function livingHost() {
  const calculation = createPolicyCalculation({ host: localHost });
  const tables = { inet: fakeTable('inet', 'calico-felix'), arp: fakeTable('arp', 'calico-felix') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer({ ...defaultRenderOptions, interfacePrefixes: ['tap', 'hep'] });
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
      const workloads = new Map([...change.workloads, ...standIns(change.hostEndpoints)]);
      const profiles = new Map([...change.profiles, [passTheRest.id, passTheRest]]);
      const rendering = renderer.render({ ...change, workloads, profiles });
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
    hostVerdict({ hostEndpoint, direction, place, packet }: HostQuestion): 'allow' | 'deny' {
      const name = standIn(hostEndpoint.slice(hostEndpoint.lastIndexOf('/') + 1), place);
      const fields = fieldsOf(packet);
      fields.set('meta iifname', interfaceName(direction === 'ingress' ? 'eth0' : name));
      fields.set('meta oifname', interfaceName(direction === 'ingress' ? name : 'eth0'));
      return tables.inet.evaluate('forward', fields).verdict === 'drop' ? 'deny' : 'allow';
    },
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
  fields.set('meta iifname', interfaceName(from.host === localHost ? tapOf(from) : 'eth0'));
  fields.set('fib saddr . mark . iif oif', number(from.host !== localHost || routes.get(packet.source) === tapOf(from) ? 1 : 0));
  if (table.evaluate('prerouting', fields).verdict === 'drop') return 'deny';
  if (to.host === localHost && routes.get(packet.destination) !== tapOf(to)) return 'deny';
  fields.set('meta oifname', interfaceName(to.host === localHost ? tapOf(to) : 'eth0'));
  return table.evaluate('forward', fields).verdict === 'drop' ? 'deny' : 'allow';
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

/** Gives one host `clusters` random clusters, one after the other, and compares the verdicts on `packets` packets in each. The same seed leads to the same clusters and packets. */
export function compareWithOracle(options: { readonly clusters: number; readonly packets: number; readonly seed: number }): Comparison {
  let [pairs, allowed] = [0, 0];
  const host = livingHost();
  for (let number = 0; number < options.clusters; number += 1) {
    const seed = options.seed + number;
    const [next] = fc.sample(cluster, { numRuns: 1, seed });
    host.become(next!);
    const oracle = createOracle(next!.values);
    const shots = fc.sample(shot, { numRuns: options.packets, seed });
    for (const each of shots) {
      const answer = oracle.ask(each.question);
      pairs += 1;
      if (answer.verdict === 'allow') allowed += 1;
      const verdict = host.verdict(each);
      if (verdict !== answer.verdict) return { pairs, allowed, difference: { seed, calculated: verdict, oracle: answer, question: each.question } };
    }
    for (const hostEndpoint of next!.hostEndpoints) {
      for (const [index, { question }] of shots.slice(0, 12).entries()) {
        for (const place of places) {
          const asked: HostQuestion = { hostEndpoint, direction: index % 2 === 0 ? 'ingress' : 'egress', place, packet: question.packet };
          const say = oracle.askHost(asked);
          const verdict = host.hostVerdict(asked);
          pairs += 1;
          if (say.verdict === 'allow') allowed += 1;
          if (verdict !== say.verdict) return { pairs, allowed, difference: { seed, calculated: verdict, oracle: say, question: asked } };
        }
      }
    }
  }
  return { pairs, allowed };
}
