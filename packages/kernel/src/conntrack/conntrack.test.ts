import { addressBytes, addressFromBytes } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageWriter } from '../netlink/attributes.ts';
import { splitMessages } from '../netlink/socket.ts';
import { addressSet, hasAddress } from './addresses.ts';
import { fakeConntrack } from './fake.ts';
import type { FlowDeletion } from './flow.ts';
import { netfilterHeaderLength, readFlow, writeCreation } from './messages.ts';
import { sharedPasses } from './passes.ts';
import { conntrackContract } from './testing/contract.ts';
import { udpFlow } from './testing/flows.ts';

conntrackContract(() => {
  const conntrack = fakeConntrack();
  return { open: () => conntrack, track: (flows) => conntrack.tracked.push(...flows), close: () => undefined };
});

/** Random addresses that often share some bytes. */
const bytes = (length: number) =>
  fc.array(fc.constantFrom(0, 1, 10, 255), { minLength: length, maxLength: length }).map((list) => addressFromBytes(Uint8Array.from(list)));
const addressesOfOneFamily = fc.constantFrom(4, 16).chain((length) =>
  fc.record({
    four: fc.tuple(bytes(length), bytes(length), bytes(length), bytes(length)),
    asked: fc.array(bytes(length), { maxLength: 3 }),
    chosen: fc.array(fc.nat(3), { maxLength: 1 }),
  }),
);

test('a flow is found by any of its four addresses, and by no other', () => {
  fc.assert(
    fc.property(addressesOfOneFamily, ({ four, asked, chosen }) => {
      const [source, destination, answerer, answered] = four;
      const wanted = [...asked, ...chosen.map((index) => four[index] as string)];
      const writer = new MessageWriter();
      const flow = udpFlow(source, destination, [1, 2], { source: answerer, destination: answered });
      writeCreation(writer, 1, flow, 600);
      const [message] = splitMessages(writer.bytes());
      const payload = message?.payload ?? new Uint8Array();
      expect(readFlow(payload)).toEqual(flow);
      expect(hasAddress(payload, netfilterHeaderLength, payload.length, addressSet(wanted.map(addressBytes)))).toBe(
        four.some((address) => wanted.includes(address)),
      );
    }),
  );
});

test('a failed pass rejects for all callers that share it, and the next pass runs', async () => {
  const results: (() => FlowDeletion)[] = [
    () => ({ deleted: 1, seen: 1 }),
    () => {
      throw new Error('answers were lost');
    },
    () => ({ deleted: 2, seen: 2 }),
  ];
  const remove = sharedPasses(async () => (results.shift() as () => FlowDeletion)());
  const first = remove(['10.65.0.1']);
  await Promise.resolve(); // the pass has begun
  const shared = [remove(['10.65.0.2']), remove(['10.65.0.3'])];
  expect(await first).toEqual({ deleted: 1, seen: 1 });
  for (const one of await Promise.allSettled(shared)) expect(one).toMatchObject({ status: 'rejected', reason: new Error('answers were lost') });
  expect(await remove(['10.65.0.2'])).toEqual({ deleted: 2, seen: 2 });
});

test('an address that is requested during a pass waits for a pass that starts later', async () => {
  const started: number[] = [];
  let end = (): void => undefined;
  const remove = sharedPasses((addresses) => {
    started.push([1, 2, 3].filter((last) => addresses.has(Uint8Array.of(10, 65, 0, last), 0, 4)).length);
    return new Promise((resolve) => {
      end = () => resolve({ deleted: 0, seen: 0 });
    });
  });
  const first = remove(['10.65.0.1']);
  while (started.length === 0) await Promise.resolve();
  const second = Promise.all([remove(['10.65.0.2']), remove(['10.65.0.3'])]);
  end();
  await first;
  while (started.length === 1) await Promise.resolve();
  end();
  await second;
  expect(started).toEqual([1, 2]);
});
