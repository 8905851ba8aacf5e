// For tests of the agent's shell: a host's kernel in memory. It records calls in their order. It reports changes of other programs only when the test says so.
import { createNeighbourProgrammer, createRouteProgrammer, createShaper, type Hook, ownsNeighbours, ownsRoutes } from '@calico-openstack/kernel';
import { fakeConntrack } from '@calico-openstack/kernel/conntrack/fake';
import { fakeHostAddresses } from '@calico-openstack/kernel/host-addresses/fake';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { fakeNeighbours } from '@calico-openstack/kernel/neighbours/fake';
import { createTableProgrammer } from '@calico-openstack/kernel/nftables/programmer';
import { type FakeKernel, fakeOpenTable } from '@calico-openstack/kernel/nftables/table.fake';
import { fakeQdiscs } from '@calico-openstack/kernel/qdiscs/fake';
import { fakeRoutes } from '@calico-openstack/kernel/routes/fake';
import { earlierAddresses, policingChains, type TableName, tableName } from '@calico-openstack/render';
import { BandwidthLimits, shaperRights } from '../devices/shaping.ts';
import type { HostKernel } from '../host-kernel.ts';
import type { Heard } from '../sharing/talk.ts';

const devicePrefixes = ['tap'];

/** An empty kernel and its controls. */
export function fakeHostKernel() {
  const links = fakeLinks();
  const qdiscs = fakeQdiscs(links.kernel);
  const [routes, neighbours] = [fakeRoutes(links.kernel, { deliverBy: 'hand' }), fakeNeighbours(links.kernel, { deliverBy: 'hand' })];
  const tables = { inet: fakeOpenTable('inet', tableName), arp: fakeOpenTable('arp', tableName) };
  const conntrack = fakeConntrack();
  /** The calls in their order: `rules`, `neighbours`, `routes`, `cut 10.65.0.11`, `forward`. */
  const order: string[] = [];
  /** The addresses whose connections were reviewed, one list for each review. */
  const looks: (readonly string[] | 'all')[] = [];
  /** Errors for the next attempts to cut connections to throw, one each. */
  const cuttingFailures: Error[] = [];
  let drifted = (): void => undefined;
  let strangers = (): void => undefined;

  let reads = 0;
  /** The callbacks that wait for guests' frames. */
  const hearing = new Set<(linkIndex: number) => void>();
  /** The callbacks that wait for guests' announcements and answers, and the questions to guests, as in `10.65.0.100 tap0000001-00`. */
  const talking = new Set<(heard: Heard) => void>();
  const questions: string[] = [];

  for (const { kernel } of Object.values(tables)) {
    const { commit } = kernel;
    kernel.commit = (...transaction) => {
      const done = commit(...transaction);
      order.push('rules');
      return done;
    };
  }
  const { read } = tables.inet.kernel;
  tables.inet.kernel.read = () => {
    reads += 1;
    return read();
  };
  const noted = <Table extends { commit(operations: readonly never[]): unknown }>(name: string, table: Table): Table => ({
    ...table,
    commit(operations: readonly never[]) {
      order.push(name);
      return table.commit(operations);
    },
  });

  const kernel: HostKernel = {
    links,
    hostAddresses: fakeHostAddresses(links, routes),
    tables: { inet: tables.inet.table, arp: tables.arp.table },
    conntrack: {
      ...conntrack,
      async deleteByAddress(addresses) {
        const failure = cuttingFailures.shift();
        if (failure) throw failure;
        order.push(`cut ${[...addresses].join(',')}`);
        return conntrack.deleteByAddress(addresses);
      },
      reviewFlows(of, review) {
        looks.push(of === 'all' ? 'all' : [...of].sort());
        return conntrack.reviewFlows(of, review);
      },
    },
    defaultRpFilter: '1',
    onDrift(listener) {
      drifted = listener;
    },
    onForeignRules(listener) {
      strangers = listener;
    },
    settings: { settle: () => void order.push('forward'), doubt: () => undefined },
    onSettings: () => undefined,
    readOtherChains: async () => ({ dropping: () => undefined, linkNames: [], compareIndices: false }),
    openDevices: (_, told) => ({
      kernel: {
        links,
        routes: createRouteProgrammer({
          table: noted('routes', routes.open()),
          devices: links,
          owns: ownsRoutes({ devicePrefixes }),
          onDrift: () => drifted(),
        }),
        neighbours: createNeighbourProgrammer({
          table: noted('neighbours', neighbours.open()),
          devices: links,
          owns: ownsNeighbours({ devicePrefixes }),
          onDrift: () => drifted(),
        }),
        writeSysctl: () => 'written',
        readSysctl: () => '0',
        bgpInterfaces: new Set(),
        limits: new BandwidthLimits(createShaper(qdiscs.open(), links, shaperRights), () => drifted()),
        onSysctlsRestored: told.onSysctlsRestored,
        obstacleOf: told.obstacleOf,
      },
      earlier: { led: earlierAddresses(tables.inet.table.elementsOf), elevated: new Set() },
    }),
    hearGuests(onHeard) {
      hearing.add(onHeard);
      return { close: () => hearing.delete(onHeard) };
    },
    answerForGateways: () => ({ close: () => undefined }),
    talkOfAddresses(onHeard) {
      talking.add(onHeard);
      return { ask: ({ index }, address) => void questions.push(`${address} ${links.nameOf(index)}`), close: () => talking.delete(onHeard) };
    },
    close: () => undefined,
  };
  return {
    kernel,
    links,
    routes,
    qdiscs,
    conntrack,
    order,
    looks,
    cuttingFailures,
    /** How often the table `inet` was read, if only to check that it exists. */
    reads: () => reads,
    inet: tables.inet.kernel,
    arp: tables.arp.kernel,
    /** Reports that another program has changed rules. */
    tellStrangers: () => strangers(),
    hearing,
    talking,
    questions,
    /** The routes, as in `10.65.0.11/32 tap0000001-00`, sorted. */
    routed: () => routes.routes.map(({ destination, deviceIndex }) => `${destination} ${links.nameOf(deviceIndex!)}`).sort(),
  };
}

/** Leaves in a fake kernel what an earlier run has left: one of our tables, with a rule that polices. */
export function leaveEarlierRules(kernel: FakeKernel, name: TableName): void {
  const earlier = createTableProgrammer(name, tableName, kernel);
  const hook: Hook = { type: 'filter', hook: name === 'inet' ? 'forward' : 'input', priority: 0, policy: 'accept' };
  earlier.setChain({ name: policingChains[name], hook, rules: [{ statements: [{ is: 'verdict', verdict: 'drop' }] }] });
  earlier.apply();
}
