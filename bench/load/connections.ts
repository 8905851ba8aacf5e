// Many tracked connections, of which the removal of a rule cuts a few.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Flow, inNamespace, openConntrack, readSysctl, writeSysctl } from '@calico-openstack/kernel';
import { trackFlows } from '@calico-openstack/kernel/conntrack/testing/flows';
import { defaultRenderOptions } from '@calico-openstack/render';
import type { Measurement } from '../bench.ts';
import { type LoadedHost, openTo } from './loaded-host.ts';

const most = ['net', 'netfilter', 'nf_conntrack_max'] as const;
const limitMs = 120_000;

/** All connections lead to the target, and one in five hundred is by the rule that goes. The kernel's limit of connections is raised meanwhile. */
export async function connections(loaded: LoadedHost, size: number): Promise<readonly Measurement[]> {
  const before = readSysctl(most);
  try {
    if (Number(before) < size * 1.1) writeSysctl(most, String(Math.round(size * 1.1)));
    return await cut(loaded, size);
  } finally {
    if (before !== undefined) writeSysctl(most, before);
  }
}

async function cut(loaded: LoadedHost, size: number): Promise<readonly Measurement[]> {
  const { host, target } = loaded;
  await host.put(openTo(7000, 7001));
  await loaded.start();
  const flows = Array.from({ length: size }, (_, number) => connection(target.addresses[0]!, number));
  inNamespace(host.name, () => {
    trackFlows(flows, 3000);
    return openConntrack();
  }).close();
  await sleep(1000);
  const said = host.output.length;
  const startMs = performance.now();
  await host.put(openTo(7000));
  await host.until(() => host.output.slice(said).includes('connections were held to the policy'), 'the connections to be looked at', limitMs);
  const cutMs = performance.now() - startMs;
  return [
    { metric: 'rule removed → its connections are dead, ms', value: Math.round(cutMs) },
    { metric: 'lone change beside them → packet, p50 ms', value: await loaded.loneChangesMs() },
  ];
}

function connection(destination: string, number: number): Flow {
  const source = `172.${16 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  const [sourcePort, destinationPort] = [1024 + (number % 50_000), number % 500 === 0 ? 7001 : 7000];
  return {
    family: 4,
    original: { protocol: 6, source, destination, sourcePort, destinationPort },
    reply: { protocol: 6, source: destination, destination: source, sourcePort: destinationPort, destinationPort: sourcePort },
    zone: 0,
    mark: defaultRenderOptions.stamps.ingress,
  };
}
