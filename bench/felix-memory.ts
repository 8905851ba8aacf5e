// Measures the memory of the built calico-felix in a large cluster with 200 endpoints on its host.

import { resourceKey } from '@calico-openstack/datamodel';
import { TestHost } from '@calico-openstack/felix/testing/host';
import type { KeyedValue } from '@calico-openstack/felix/testing/resources';
import { memoryOf } from '@calico-openstack/kernel/processes/processes';
import { measuredAgent } from './agent.ts';
import type { Bench, Measurement } from './bench.ts';
import { endpoint, groupsPerProject, host as hostName, securityGroup, type Update } from './policy-scale-cluster.ts';

const targetMegabytes = 360;
/** How long to wait after the start, because the heap still shrinks for a while. */
const settleMs = 30_000;

const keyed = ([key, value]: Update): KeyedValue => ({ key, value: new TextDecoder().decode(value) });

const node = (number: number): KeyedValue => ({
  key: resourceKey({ plural: 'nodes', name: `compute-${number}` }),
  value: JSON.stringify({
    kind: 'Node',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: `compute-${number}`, uid: `node-${number}`, creationTimestamp: '2026-11-24T00:00:00Z' },
    spec: { bgp: { ipv4Address: `172.16.${number >> 8}.${number & 255}/16`, ipv6Address: `fd00:16::${number.toString(16)}/64` } },
  }),
});

/** How many values are made and written at a time, so that this process need not hold the whole cluster. */
async function fill(host: TestHost, count: number, make: (number: number) => KeyedValue): Promise<void> {
  for (let first = 0; first < count; first += 1000) await host.put(...Array.from({ length: Math.min(1000, count - first) }, (_, index) => make(first + index)));
}

const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);

/** The bench `felix-memory`. */
export const bench: Bench = {
  description: 'resident memory of calico-felix, with etcd and kernel: 200 local of 100 000 endpoints, 10 000 security groups, 5 000 Nodes',
  options: { endpoints: 'endpoints [100000]', groups: 'security groups [10000]', nodes: 'Nodes [5000]', 'node-options': 'NODE_OPTIONS of the agent' },
  async run(options, progress) {
    const { command } = measuredAgent(options, 'felix');
    const number = (name: string, otherwise: number): number => Number(options.get(name) ?? otherwise);
    const [endpoints, groups, nodes] = [number('endpoints', 100_000), number('groups', 10_000), number('nodes', 5_000)];
    const host = await TestHost.open(hostName);
    try {
      progress(`writing ${endpoints} endpoints, ${groups} groups, ${nodes} Nodes`);
      await fill(host, groups, (group) => keyed(securityGroup(group)));
      await fill(host, nodes, node);
      await fill(host, endpoints, (each) => keyed(endpoint(each, { projects: groups / groupsPerProject })));
      progress('starting calico-felix');
      host.startAgent([command], { FELIX_LOGSEVERITYSCREEN: 'INFO', ...(options.has('node-options') && { NODE_OPTIONS: options.get('node-options')! }) });
      await host.until(() => host.output.includes('the kernel is as the datastore wants it'), 'the start', 300_000);
      const pid = host.agent!.pid!;
      const started = megabytes(memoryOf(pid).residentBytes);
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const results: Measurement[] = [
        { metric: 'resident when programmed, MB', at: endpoints, value: started },
        { metric: `resident ${settleMs / 1000} s later, MB`, at: endpoints, value: megabytes(memoryOf(pid).residentBytes) },
        { metric: 'resident, peak MB', at: endpoints, value: megabytes(memoryOf(pid).peakBytes), target: targetMegabytes },
      ];
      return results;
    } finally {
      await host.close();
    }
  },
};
