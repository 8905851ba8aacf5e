// Following shared addresses, with links, guests and time in memory.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import type { LocalWorkload, ProfileId, WorkloadId } from '@calico-openstack/datamodel';
import { describe, expect, test } from 'vitest';
import { Sharing } from './sharing.ts';
import type { Heard } from './talk.ts';

const vip = '10.0.0.100/32' as Cidr;
const address = '10.0.0.100' as IpAddress;
const [a, b] = ['a', 'b'] as WorkloadId[] as [WorkloadId, WorkloadId];
const macOf = (id: WorkloadId): string => `fa:16:3e:00:00:0${id}`;

const workload = (id: WorkloadId, more: Partial<LocalWorkload> = {}): LocalWorkload =>
  ({
    id,
    interfaceName: `tap${id}`,
    mac: macOf(id),
    routed: [],
    shared: { addresses: [vip], createdMs: 1 },
    ipv4Gateway: '10.0.0.1',
    policy: { ingress: [], egress: [], profiles: [] },
    ...more,
  }) as unknown as LocalWorkload;

function world({ led = {}, refusal }: { led?: Readonly<Record<string, string>>; refusal?: Error } = {}) {
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const asked: string[] = [];
  let hears: ((heard: Heard) => void) | undefined;
  let changes = 0;
  const links = new Map([
    ['tapa', { index: 1, running: true, mac: 'fe:16:3e:00:00:0a' }],
    ['tapb', { index: 2, running: true, mac: 'fe:16:3e:00:00:0b' }],
  ]);
  const sharing = new Sharing({
    open(onHeard) {
      if (refusal) throw refusal;
      hears = onHeard;
      return { ask: (end, what, gateway) => void asked.push(`${end.index} ${what} ${gateway}`), close: () => (hears = undefined) };
    },
    links: { link: (name) => links.get(name) as never, nameOf: (index) => [...links].find(([, link]) => link.index === index)?.[0] },
    led: new Map(Object.entries(led) as [Cidr, string][]),
    log,
    clock,
    onChange: () => (changes += 1),
  });
  return {
    sharing,
    clock,
    asked,
    links,
    isOpen: () => hears !== undefined,
    changes: () => changes,
    warnings: () => entries.length,
    note: (follow: boolean, ...workloads: (readonly [WorkloadId, LocalWorkload | undefined])[]) => sharing.note(workloads, follow, () => undefined),
    hear: (linkIndex: number, is: Heard['is'], ...macs: string[]) => hears?.({ linkIndex, address, is, macs }),
    holder: () => sharing.takeChanged()?.get(vip),
  };
}

test('nothing is opened, asked or changed as long as nothing is shared', () => {
  const { note, isOpen, sharing } = world();
  const { shared: _, ...alone } = workload(a);
  note(true, [a, alone as LocalWorkload]);
  note(false, [b, workload(b)]);
  expect([isOpen(), sharing.takeChanged()]).toEqual([false, undefined]);
});

test('guests are asked on their interfaces, in the gateway’s name, and who answers has it', async () => {
  const { note, clock, asked, hear, holder, changes } = world();
  note(true, [a, workload(a)], [b, workload(b)]);
  expect(holder()).toBeUndefined();
  await clock.pass(0);
  expect(asked.sort()).toEqual(['1 10.0.0.100 10.0.0.1', '2 10.0.0.100 10.0.0.1']);
  hear(2, 'answer', macOf(b));
  expect([holder(), changes()]).toEqual([b, 1]);
});

test('a guest whose interface does not run is not asked', async () => {
  const { note, clock, asked, links } = world();
  links.set('tapa', { index: 1, running: false, mac: 'fe:16:3e:00:00:0a' });
  note(true, [a, workload(a)]);
  await clock.pass(0);
  expect(asked).toEqual([]);
});

describe('what a guest says counts only', () => {
  const open = { policy: { ingress: [], egress: [], profiles: ['projectcalico-default-allow' as ProfileId] } };
  const virtual = '00:00:5e:00:01:07';
  test.each([
    ['with its port’s MAC', {}, 1, [macOf(a)], true],
    ['with no other MAC', {}, 1, [macOf(a), macOf(b)], false],
    ['with the pair’s MAC', { pairMacs: [{ mac: virtual, addresses: [vip] }] }, 1, [virtual], true],
    ['with no MAC of another pair', { pairMacs: [{ mac: virtual, addresses: ['10.0.0.7/32' as Cidr] }] }, 1, [virtual], false],
    ['with any MAC where port security is off', open, 1, [virtual], true],
    ['on its own interface', {}, 2, [macOf(a)], false],
  ])('%s', (_, more, link, macs, counts) => {
    const { note, hear, holder } = world();
    note(true, [a, workload(a, more)]);
    holder();
    hear(link, 'announcement', ...macs);
    expect(holder()).toBe(counts ? a : undefined);
  });
});

test('a port that had the address before keeps it: over a restart, and when it becomes shared', () => {
  const restarted = world({ led: { [vip]: 'tapb' } });
  restarted.note(true, [a, workload(a)], [b, workload(b)]);
  expect(restarted.holder()).toBe(b);
  const { sharing, holder } = world();
  sharing.note([[a, workload(a)]], true, (id) => (id === a ? [vip] : undefined));
  expect(holder()).toBe(a);
});

test('when nothing is shared any more, or addresses shall not follow, nobody listens and the rule decides again', () => {
  const { note, isOpen, sharing } = world();
  note(true, [a, workload(a)], [b, workload(b)]);
  note(true, [a, undefined]);
  expect(isOpen()).toBe(true);
  sharing.takeChanged();
  note(false, [b, workload(b)]);
  expect([isOpen(), [...sharing.takeChanged()!]]).toEqual([false, []]);
});

test('a host that may not talk with guests says so once, and the rule decides', () => {
  const { note, sharing, warnings } = world({ refusal: new Error('EPERM') });
  note(true, [a, workload(a)]);
  note(true, [b, workload(b)]);
  expect([sharing.takeChanged(), warnings()]).toEqual([undefined, 1]);
});
