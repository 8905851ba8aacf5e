// What is calculated and rendered, judged on tables in memory, against what the oracle says: two readings of policy that share no code. For tests.
import { addressBytes, type IpAddress, macBytes } from '@calico-openstack/datamodel';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { type FakeTable, fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { createOracle } from '@calico-openstack/oracle';
import { createPolicyCalculation } from '@calico-openstack/policy';
import { applyEdits, defaultRenderOptions, Renderer } from '@calico-openstack/render';
import fc from 'fast-check';
import { type Cluster, cluster, localHost, type Shot, shot } from '../testing/clusters.ts';
import { tapOf } from '../testing/resources.ts';

/** One living host: clusters come one after the other, as changes. */
function livingHost() {
  const calculation = createPolicyCalculation({ host: localHost });
  const tables = { inet: fakeTable('inet', 'calico-felix'), arp: fakeTable('arp', 'calico-felix') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer(defaultRenderOptions);
  applyEdits(programmers, renderer.start());
  let held: ReadonlyMap<string, string> = new Map();
  return {
    become({ values }: Cluster): void {
      for (const key of held.keys()) if (!values.has(key)) calculation.update(key, undefined);
      for (const [key, value] of values) if (held.get(key) !== value) calculation.update(key, new TextEncoder().encode(value));
      held = values;
      const [rejected] = applyEdits(programmers, renderer.render(calculation.flush()).tables);
      if (rejected) throw rejected.error;
      programmers.inet.apply();
      programmers.arp.apply();
    },
    verdict: (each: Shot): 'allow' | 'deny' => judge(tables.inet, each),
  };
}

function judge(table: FakeTable, { from, to, question: { packet } }: Shot): 'allow' | 'deny' {
  const v6 = packet.source.includes(':');
  const word = (bytes: number[]): Uint8Array => Uint8Array.from(bytes);
  const name = (text: string): Uint8Array => {
    const bytes = new Uint8Array(16);
    bytes.set(new TextEncoder().encode(text));
    return bytes;
  };
  const number = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
  const port = (value: number): Uint8Array => word([value >> 8, value & 255]);
  const fields = new Map<Field, Uint8Array>([
    ['meta nfproto', word([v6 ? 10 : 2])],
    ['meta l4proto', word([packet.protocol])],
    [v6 ? 'ip6 saddr' : 'ip saddr', addressBytes(packet.source as IpAddress)],
    [v6 ? 'ip6 daddr' : 'ip daddr', addressBytes(packet.destination as IpAddress)],
    ['ct state', number(8)],
    ['ether saddr', macBytes(from.mac)],
    ['meta iifname', name(from.host === localHost ? tapOf(from) : 'eth0')],
    ['fib saddr . mark . iif oif', number(from.addresses.includes(packet.source) ? 1 : 0)],
    ...(packet.destinationPort === undefined
      ? []
      : ([
          ['th sport', port(packet.sourcePort ?? 0)],
          ['th dport', port(packet.destinationPort)],
        ] as [Field, Uint8Array][])),
    ...(packet.icmpType === undefined
      ? []
      : ([
          [v6 ? 'icmpv6 type' : 'icmp type', word([packet.icmpType])],
          [v6 ? 'icmpv6 code' : 'icmp code', word([packet.icmpCode ?? 0])],
        ] as [Field, Uint8Array][])),
  ]);
  if (table.evaluate('prerouting', fields).verdict === 'drop') return 'deny';
  fields.set('meta oifname', name(to.host === localHost ? tapOf(to) : 'eth0'));
  return table.evaluate('forward', fields).verdict === 'drop' ? 'deny' : 'allow';
}

export type Comparison = {
  readonly pairs: number;
  readonly allowed: number /** The first packet on which the two differ, with what reproduces it. */;
  readonly difference?: object;
};

/** One living host becomes `clusters` random clusters, one after the other; so many packets are judged in each. The same seed makes the same. */
export function compareWithOracle(options: { readonly clusters: number; readonly packets: number; readonly seed: number }): Comparison {
  let [pairs, allowed] = [0, 0];
  const host = livingHost();
  for (let number = 0; number < options.clusters; number += 1) {
    const seed = options.seed + number;
    const [next] = fc.sample(cluster, { numRuns: 1, seed });
    host.become(next!);
    const oracle = createOracle(next!.values);
    for (const each of fc.sample(shot, { numRuns: options.packets, seed })) {
      const answer = oracle.ask(each.question);
      pairs += 1;
      if (answer.verdict === 'allow') allowed += 1;
      const verdict = host.verdict(each);
      if (verdict !== answer.verdict)
        return {
          pairs,
          allowed,
          difference: { seed, calculated: verdict, oracle: answer, question: each.question },
        };
    }
  }
  return { pairs, allowed };
}
