import { hostCidr, type IpAddress } from '@calico-openstack/addresses';
import { type DesiredChange, type LocalWorkload, noChange, type WorkloadId } from '@calico-openstack/datamodel';
import { fakeOpenTable } from '@calico-openstack/kernel/nftables/table.fake';
import { defaultRenderOptions, type RejectedEdit, type WorkloadDevice } from '@calico-openstack/render';
import { expect, test } from 'vitest';
import { createDataplane } from './dataplane.ts';
import type { Devices, DevicesReport } from './devices.ts';
import { leaveEarlierRules } from './testing/fake-kernel.ts';

const options = { ...defaultRenderOptions, interfacePrefixes: ['tap'] };
const address = '10.0.0.1' as IpAddress;

function workload(number: number, more: Partial<LocalWorkload> = {}): LocalWorkload {
  const addresses = [`10.0.0.${number}/32`] as unknown as LocalWorkload['addresses'];
  return {
    id: `w${number}` as WorkloadId,
    orchestrator: 'openstack',
    workload: `w${number}`,
    endpoint: `w${number}`,
    interfaceName: `tap${number}`,
    addresses,
    routed: addresses,
    ipNats: [],
    allowSpoofedSourcePrefixes: [],
    policy: { ingress: [], egress: [], profiles: [] },
    ...more,
  };
}
const changeOf = (...workloads: readonly (LocalWorkload | WorkloadId)[]): DesiredChange => ({
  ...noChange,
  workloads: new Map(workloads.map((each) => (typeof each === 'string' ? [each, undefined] : [each.id, each]))),
});

function world() {
  const [inet, arp] = [fakeOpenTable('inet', 'calico-felix'), fakeOpenTable('arp', 'calico-felix')];
  /** The calls of the devices, with the interfaces that the kernel's rules had at that time. */
  const updates: (readonly [readonly WorkloadId[], number])[] = [];
  const told: string[] = [];
  let left: readonly IpAddress[] = [];
  let report: DevicesReport = { changed: new Map(), retry: false };
  const known = (): number => inet.kernel.content().sets.get('workload-interfaces')?.elements.length ?? 0;
  const devices: Devices = {
    update(changes: ReadonlyMap<WorkloadId, WorkloadDevice | undefined>) {
      updates.push([[...changes.keys()], known()]);
      return left;
    },
    setSettings: () => undefined,
    heard: () => false,
    areAnyAwaited: false,
    restMs: () => undefined,
    counts: () => ({ routes: { 4: 0, 6: 0 }, interfaces: 0 }),
    linksChanged: () => undefined,
    settingsChanged: () => false,
    macOfGateway: () => undefined,
    obstaclesChanged: () => undefined,
    areAnyUnfiltered: false,
    apply() {
      told.push(`apply with ${known()} interfaces in the rules`);
      return report;
    },
    release: (addresses) => void told.push(`release ${[...addresses]}`),
    hold: (addresses, reason) => void told.push(`hold ${[...addresses]}: ${reason}`),
    audit: () => Promise.resolve(),
  };
  const rejected: RejectedEdit[] = [];
  const dataplane = createDataplane({ inet: inet.table, arp: arp.table }, options, (edit) => rejected.push(edit));
  return {
    dataplane,
    devices,
    updates,
    told,
    rejected,
    inet: inet.kernel,
    arp: arp.kernel,
    known,
    leaving: () => inet.kernel.content().sets.get('leaving-addresses4')!.elements.length,
    willLeave(...addresses: readonly IpAddress[]) {
      left = addresses;
    },
    willReport(next: Partial<DevicesReport>) {
      report = { ...report, ...next };
    },
  };
}

/** Ends the closed state. */
function begun() {
  const w = world();
  w.dataplane.begin(w.devices, new Map());
  return w;
}

test('before the datastore is known only what no earlier run has made is closed, and what is wanted then is committed by the first step', () => {
  const w = world();
  leaveEarlierRules(w.arp, 'arp');
  expect(w.dataplane.closeWhatIsOpen()).toEqual(['inet']);
  expect(w.dataplane.closeWhatIsOpen()).toEqual([]);
  expect([w.inet.content().chains.size > 0, w.arp.content().chains.size]).toEqual([true, 1]);
  w.dataplane.begin(w.devices, new Map());
  expect(w.arp.content().chains.size).toBe(1);
  w.dataplane.step();
  expect(w.arp.content().chains.size).toBeGreaterThan(1);
});

test('a table that polices nothing, as after a run that was killed, is closed', () => {
  const w = world();
  w.inet.commit([{ verb: 'add table' }]);
  expect(w.dataplane.closeWhatIsOpen()).toEqual(['inet', 'arp']);
  expect(w.inet.content().chains.size).toBeGreaterThan(0);
});

test('where another Felix polices until ours do, hooks lead to our tables when all that they need is there', () => {
  const w = begun();
  const hooked = (): boolean[][] =>
    [w.inet, w.arp].map(({ commits }) => commits.map((operations) => operations.some((each) => each.verb === 'add chain' && each.chain.hook)));
  w.dataplane.note(changeOf(workload(1)));
  w.dataplane.step();
  expect(hooked()).toEqual([
    [false, true],
    [false, true],
  ]);
  expect(w.dataplane.missingTables()).toEqual([]);

  const refused = begun();
  refused.inet.refuseNext('ENOMEM');
  expect(() => refused.dataplane.step()).toThrow('ENOMEM');
  expect(refused.dataplane.missingTables()).toEqual(['inet', 'arp']);
  refused.dataplane.putBack(['inet']); // the other Felix's rules have gone in the meantime
  expect(refused.dataplane.missingTables()).toEqual(['arp']);
});

test('closed tables are put back by the options that are wanted by then', () => {
  const w = world();
  w.dataplane.closeWhatIsOpen();
  const before = JSON.stringify(w.inet.content().chains.get('forward') ?? [...w.inet.content().chains.values()]);
  w.dataplane.setOptions({ ...options, interfacePrefixes: ['tap', 'cali'] });
  w.inet.commit([{ verb: 'delete table' }]);
  expect(w.dataplane.missingTables()).toEqual(['inet']);
  w.dataplane.putBack(['inet']);
  expect(w.dataplane.missingTables()).toEqual([]);
  expect(JSON.stringify(w.inet.content().chains.get('forward') ?? [...w.inet.content().chains.values()])).not.toBe(before);
});

test('other options change rules that are in force', () => {
  const w = begun();
  w.dataplane.note(changeOf(workload(1)));
  w.dataplane.step();
  const before = JSON.stringify([...w.inet.content().chains]);
  w.dataplane.setOptions({ ...options, denyAction: 'REJECT' });
  w.dataplane.step();
  expect(JSON.stringify([...w.inet.content().chains])).not.toBe(before);
});

test('a device is programmed when its rules are in the kernel, not before', () => {
  const w = begun();
  w.dataplane.note(changeOf(workload(1)));
  expect([w.known(), w.told]).toEqual([0, []]);
  w.dataplane.step();
  expect(w.updates).toEqual([[['w1'], 0]]);
  expect(w.told).toEqual(['apply with 1 interfaces in the rules']);
});

test('a step whose rules are refused programs no device, and the next one tells all that it would have told', () => {
  const w = begun();
  w.dataplane.step();
  w.told.length = 0;
  w.dataplane.note(changeOf(workload(1), workload(2, { interfaceName: 'eth0' })));
  w.willLeave(address);
  w.inet.refuseAll('ENOMEM');
  expect(() => w.dataplane.step()).toThrow('ENOMEM');
  expect(w.told).toEqual([]);
  w.inet.refuseAll();
  w.willLeave();
  w.willReport({ changed: new Map([['w1' as WorkloadId, { status: 'up' }]]) });
  const { statuses, left } = w.dataplane.step();
  expect(left).toEqual([address]);
  expect([...statuses].map(([id, told]) => [id, told?.status])).toEqual([
    ['w2', 'error'],
    ['w1', 'up'],
  ]);
  expect(w.dataplane.step()).toMatchObject({ left: [], statuses: new Map([['w1', expect.anything()]]) });
});

test('an address that leaves is in the kernel’s table from the step on in which its route goes until it is released', () => {
  const w = begun();
  w.dataplane.step();
  w.willLeave(address);
  let heldAtApply = 0;
  const { apply } = w.devices;
  Object.assign(w.devices, {
    apply() {
      heldAtApply = w.leaving();
      return apply();
    },
  });
  expect(w.dataplane.step().left).toEqual([address]);
  expect([heldAtApply, w.leaving()]).toEqual([1, 1]);
  w.willLeave();
  expect(w.dataplane.step().left).toEqual([]);
  expect(w.leaving()).toBe(1);
  w.dataplane.release([address]);
  expect(w.told).toContain(`release ${address}`);
  w.dataplane.step();
  expect(w.leaving()).toBe(0);
});

test('whoever gets an address that leaves may send from it when it is released, if it is still his', () => {
  const w = begun();
  const sources = (): readonly string[] =>
    w.inet
      .content()
      .sets.get('workload-addresses4')!
      .elements.map(({ key }) => String.fromCharCode(...key.slice(0, 4)))
      .sort();
  const heir = (number: number) => workload(number, { addresses: workload(1).addresses, routed: workload(1).addresses });
  w.dataplane.note(changeOf(workload(1)));
  w.dataplane.step();
  w.willLeave(address);
  w.dataplane.note(changeOf('w1' as WorkloadId, heir(2), workload(9)));
  w.dataplane.step();
  expect(sources()).toEqual(['tap9']);
  w.dataplane.note(changeOf('w2' as WorkloadId, heir(3))); // it leaves this one too, which never had it
  w.dataplane.step();
  w.willLeave();
  w.dataplane.step();
  expect(sources()).toEqual(['tap9']);
  w.dataplane.release([address]);
  w.dataplane.step();
  expect(sources()).toEqual(['tap3', 'tap9']);
});

test('at the start, who had an address in an earlier run may go on sending from it, and a new owner may not yet', () => {
  const w = world();
  const [kept, moved] = ['10.0.0.1', '10.0.0.2'] as const;
  w.dataplane.begin(
    w.devices,
    new Map([
      [hostCidr(kept as IpAddress), 'tap1'],
      [hostCidr(moved as IpAddress), 'tap9'],
    ]),
  );
  w.willLeave(kept as IpAddress, moved as IpAddress); // the first one is awaited by live migration, so that no route leads to it
  w.dataplane.note(changeOf(workload(1), workload(2)));
  w.dataplane.step();
  const sources = w.inet.content().sets.get('workload-addresses4')!.elements;
  expect(sources.map(({ key }) => String.fromCharCode(...key.slice(0, 4)))).toEqual(['tap1']);
});

test('an endpoint whose interface another one has is in error, with the name of the other', () => {
  const w = begun();
  w.dataplane.note(changeOf(workload(1), workload(2, { interfaceName: 'tap1', shadowedBy: 'w1' as WorkloadId })));
  w.willReport({ changed: new Map([['w1' as WorkloadId, { status: 'up' }]]) });
  const { statuses } = w.dataplane.step();
  expect([...statuses].map(([id, told]) => [id, told?.status, told?.reason])).toEqual([
    ['w2', 'error', 'w1 has the interface tap1'],
    ['w1', 'up', undefined],
  ]);
});

test('an endpoint on an interface that nobody polices is in error, and is programmed once its interface is named', () => {
  const w = begun();
  w.dataplane.note(changeOf(workload(1, { interfaceName: 'eth0' })));
  expect(w.dataplane.step().statuses.get('w1' as WorkloadId)).toMatchObject({ status: 'error', reason: expect.stringContaining('InterfacePrefix (tap)') });
  expect(w.known()).toBe(0);
  w.dataplane.setOptions({ ...options, interfacePrefixes: ['tap', 'eth'] });
  w.dataplane.step();
  expect(w.known()).toBe(1);
  w.dataplane.setOptions(options);
  expect(w.dataplane.step().statuses.get('w1' as WorkloadId)).toMatchObject({ status: 'error' });
  expect(w.known()).toBe(0);
});

test('an endpoint that goes is told once, and one that came back in the same step is not', () => {
  const w = begun();
  w.dataplane.note(changeOf(workload(1), workload(2)));
  w.dataplane.step();
  w.dataplane.note(changeOf('w1' as WorkloadId, 'w2' as WorkloadId));
  w.dataplane.note(changeOf(workload(2)));
  expect([...w.dataplane.step().statuses]).toEqual([['w1', undefined]]);
  expect([...w.dataplane.step().statuses]).toEqual([]);
});

test('a table that is gone is put back with all that was in it', () => {
  const w = begun();
  w.dataplane.note(changeOf(workload(1)));
  w.dataplane.step();
  w.inet.commit([{ verb: 'delete table' }]);
  w.dataplane.putBack(w.dataplane.missingTables());
  expect(w.known()).toBe(1);
});

test('what somebody changed in the tables stays until they are distrusted, and is put right by the next step', () => {
  const w = begun();
  w.dataplane.note(changeOf(workload(1)));
  w.dataplane.step();
  const set = w.inet.content().sets.get('workload-interfaces')!;
  w.inet.commit([{ verb: 'delete elements', set: set.set, elements: set.elements }]);
  w.dataplane.step();
  expect(w.known()).toBe(0);
  w.dataplane.distrustTables();
  w.dataplane.step();
  expect(w.known()).toBe(1);
});

test('why the connections of an address cannot be cut yet is said to its devices', () => {
  const w = begun();
  w.dataplane.hold([address], 'conntrack answers EPERM');
  expect(w.told).toEqual([`hold ${address}: conntrack answers EPERM`]);
});

test('used before the datastore is known it says so', () => {
  const w = world();
  expect(() => w.dataplane.step()).toThrow('before the datastore was known');
});
