import { expect, test } from 'vitest';
import { datastoreAddresses } from './datastore-addresses.ts';

test('addresses stand as they are, names are looked up now and then; one that is not found any more keeps what it had', async () => {
  let nowMs = 0;
  let answer: readonly string[] = ['192.0.2.9', '2001:db8::9'];
  let asked = 0;
  const etcd = datastoreAddresses(
    ['https://198.51.100.1:2379', 'http://[2001:db8::1]:2379', 'https://etcd.example:2379'],
    () => nowMs,
    async () => {
      asked += 1;
      return answer as never;
    },
  );
  expect(etcd.addresses).toEqual(['198.51.100.1', '2001:db8::1']);
  for (let round = 0; round < 2; round += 1) await etcd.refresh();
  expect([etcd.addresses, asked]).toEqual([['192.0.2.9', '198.51.100.1', '2001:db8::1', '2001:db8::9'], 1]);
  [nowMs, answer] = [60_000, []];
  await etcd.refresh();
  expect([etcd.addresses.length, asked]).toEqual([4, 2]);
});
