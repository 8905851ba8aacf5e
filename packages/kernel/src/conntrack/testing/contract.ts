// The promises of every `Conntrack`; the kernel's and the fake have to keep them.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Conntrack, Flow, FlowRecord } from '../flow.ts';
import { udpFlow } from './flows.ts';

/** A kernel with flows: `track` creates them, `open` opens its connection tracking. */
export type ConntrackWorld = { open(): Conntrack; track(flows: readonly Flow[]): void; close(): void };

const families = [
  { family: 4, web: '10.65.0.4', peer: '192.0.2.7', other: '10.65.0.5', external: '203.0.113.9', alike: ['10.65.4.0', '11.65.0.4', '4.0.65.10'] },
  { family: 6, web: '2001:db8::4', peer: '2001:db8:ff::7', other: '2001:db8::5', external: '2001:db8:e::9', alike: ['2001:db9::4', '2001:db8:1::4', '::4'] },
] as const;

/** Registers the tests. */
export function conntrackContract(open: () => ConntrackWorld): void {
  let world: ConntrackWorld;
  let conntrack: Conntrack;
  beforeEach(() => {
    world = open();
    conntrack = world.open();
  });
  afterEach(() => {
    conntrack.close();
    world.close();
  });
  const print = ({ original, reply, zone }: Flow): string => JSON.stringify([original, reply, zone], (_, value) => value);
  const left = async (): Promise<string[]> => (await conntrack.flows()).map(print).sort();

  describe.each(families)('IPv$family flows', ({ web, peer, other, external, alike }) => {
    const untouched = [udpFlow(other, peer), ...alike.map((address) => udpFlow(address, peer))];

    test('a flow is read with all its fields', async () => {
      const flow = udpFlow(web, peer, [1234, 80], { destination: external });
      world.track([flow]);
      expect(await conntrack.flows()).toEqual([flow]);
      expect(conntrack.count()).toBe(1);
    });

    test.each([
      { where: 'source', flow: udpFlow(web, peer) },
      { where: 'destination', flow: udpFlow(peer, web) },
      { where: 'source behind NAT', flow: udpFlow(web, peer, [1, 2], { destination: external }) },
      { where: 'real destination of a flow to an external address', flow: udpFlow(peer, external, [1, 2], { source: web }) },
      { where: 'external address that a flow answers to', flow: udpFlow(other, peer, [1, 2], { destination: web }) },
      { where: 'external address that a flow was sent to', flow: udpFlow(peer, web, [1, 2], { source: other }) },
    ])('a flow with the address as its $where is deleted, and no other', async ({ flow }) => {
      world.track([flow, ...untouched]);
      expect(await conntrack.deleteByAddress([web])).toEqual({ deleted: 1, seen: 1 + untouched.length });
      expect(await left()).toEqual(untouched.map(print).sort());
    });

    test('the flow with a given original tuple is deleted, and no other', () => {
      const [flow, later] = [udpFlow(web, peer, [1, 2]), udpFlow(web, peer, [1, 3])];
      world.track([flow, later]);
      expect(conntrack.deleteFlow(flow.original)).toBe('deleted');
      expect(conntrack.deleteFlow(flow.original)).toBe('absent');
      expect(conntrack.count()).toBe(1);
    });

    test('flows in every zone are deleted', async () => {
      const flow = udpFlow(web, peer);
      world.track([flow, { ...flow, zone: 7 }, { ...flow, zone: 8 }]);
      expect(conntrack.deleteFlow(flow.original, 8)).toBe('deleted');
      expect(await left()).toEqual([flow, { ...flow, zone: 7 }].map(print).sort());
      expect(await conntrack.deleteByAddress([web])).toEqual({ deleted: 2, seen: 2 });
      expect(conntrack.count()).toBe(0);
    });
  });

  test('many addresses of both families need one pass', async () => {
    const flows = families.flatMap(({ web, other, peer, external }) => [udpFlow(web, peer), udpFlow(peer, other), udpFlow(external, peer)]);
    world.track(flows);
    expect(await conntrack.deleteByAddress(families.flatMap(({ web, other }) => [web, other]))).toEqual({ deleted: 4, seen: 6 });
    expect((await conntrack.flows()).map(({ original }) => original.source).sort()).toEqual(families.map(({ external }) => external).sort());
  });

  test('calls during a pass share the next one, and all of their flows are deleted', async () => {
    const addresses = Array.from({ length: 20 }, (_, count) => `10.65.0.${count + 1}`);
    world.track(addresses.map((address) => udpFlow(address, '192.0.2.7')));
    const [first, ...others] = await Promise.all(addresses.map((address) => conntrack.deleteByAddress([address])));
    expect((first?.deleted ?? 0) + (others[0]?.deleted ?? 0)).toBeGreaterThanOrEqual(20);
    expect(conntrack.count()).toBe(0);
  });

  test('marks are changed only in the bits of the mask, in every zone, and only where they differ', async () => {
    const flows = families.flatMap(({ web, peer }) => [0, 0x40000, 0x50001, 1].map((mark, port) => ({ ...udpFlow(web, peer, [port + 1, 2]), mark })));
    world.track([...flows, { ...udpFlow('10.65.0.4', '192.0.2.7', [9, 9]), zone: 7 }]);
    const marks = async (): Promise<number[]> => (await conntrack.flows()).map(({ mark = 0 }) => mark).sort((a, b) => a - b);
    expect(await conntrack.markFlows(0xc0000, (mark) => mark | 0xc0000)).toEqual({ marked: 9, seen: 9 });
    expect(await marks()).toEqual([0xc0000, 0xc0000, 0xc0000, 0xc0000, 0xc0000, 0xc0001, 0xc0001, 0xd0001, 0xd0001]);
    expect(await conntrack.markFlows(0xc0000, (mark) => mark | 0xc0000)).toEqual({ marked: 0, seen: 9 });
    expect(await conntrack.markFlows(0x80c0000f, (mark) => (mark & 0x10000 ? 0x80000002 : mark))).toEqual({ marked: 2, seen: 9 });
    expect((await marks()).at(-1)).toBe(0x800d0002);
  });

  test('review is called for the flows of the addresses with all their fields, and what it returns is carried out', async () => {
    const [kept, gone, marked] = families.map(({ web, peer, external }) => [
      udpFlow(peer, external, [1, 2], { source: web }),
      udpFlow(web, peer, [3, 4]),
      { ...udpFlow(web, peer, [5, 6]), mark: 0x10001 },
    ])[0] as [Flow, Flow, Flow];
    world.track([kept, gone, marked, udpFlow('10.65.0.5', '192.0.2.7'), udpFlow('2001:db8::5', '2001:db8:ff::7')]);
    const asked: FlowRecord[] = [];
    const review = await conntrack.reviewFlows(['10.65.0.4'], (flow) => {
      asked.push(flow);
      if (flow.original.sourcePort === 3) return 'delete';
      return flow.mark === 0 ? undefined : { mark: 0x20000, mask: 0x30000, timeoutSeconds: 60 };
    });
    expect(review).toMatchObject({ deleted: 1, marked: 1 });
    expect(asked.map(({ original }) => original.sourcePort).sort()).toEqual([1, 3, 5]);
    expect(asked.find(({ original }) => original.sourcePort === 1)).toEqual({
      family: 4,
      protocol: 17,
      original: { source: Uint8Array.of(192, 0, 2, 7), destination: Uint8Array.of(203, 0, 113, 9), sourcePort: 1, destinationPort: 2 },
      reply: expect.objectContaining({ source: Uint8Array.of(10, 65, 0, 4), destination: Uint8Array.of(192, 0, 2, 7), sourcePort: 2, destinationPort: 1 }),
      mark: 0,
    });
    const left = await conntrack.flows();
    expect(left).toHaveLength(4);
    expect(left.find(({ mark }) => mark !== undefined)).toMatchObject({ mark: 0x20001, original: marked.original });
    expect((await conntrack.reviewFlows('all', () => 'delete')).deleted).toBe(4);
    await expect((async () => conntrack.reviewFlows(['10.0.0.0/8'], () => 'delete'))()).rejects.toThrow(RangeError);
  });

  test('without addresses there is no pass, and a text that is not an address is refused before one', async () => {
    world.track([udpFlow('10.65.0.4', '192.0.2.7')]);
    expect(await conntrack.deleteByAddress([])).toEqual({ deleted: 0, seen: 0 });
    await expect(conntrack.deleteByAddress(['10.65.0.4', '10.65.0.4/32'])).rejects.toThrow(RangeError);
    expect(conntrack.count()).toBe(1);
  });
}
