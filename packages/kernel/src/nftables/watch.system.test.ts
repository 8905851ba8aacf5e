import { addressBytes } from '@calico-openstack/addresses';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type NetlinkMonitor, openMonitor } from '../netlink/monitor.ts';
import { openTable } from './table.netlink.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';
import { watchRuleset } from './watch.ts';

let namespace: TestNamespace;
let monitor: NetlinkMonitor;
beforeEach(() => {
  namespace = makeNamespace();
  monitor = openMonitor(namespace.name);
});
afterEach(() => {
  monitor.close();
  namespace.remove();
});

test('transactions of other programs are reported with the process; ours are not', async () => {
  const tables = [openTable('inet', 'one', namespace.name), openTable('arp', 'two', namespace.name)];
  const told: string[] = [];
  const others = new Promise<void>((resolve) => {
    watchRuleset(
      monitor,
      () => tables.map(({ portId }) => portId()),
      (who) => {
        told.push(who?.processName ?? 'overrun');
        resolve();
      },
    );
  });
  for (const table of tables) {
    table.setSet({ name: 'addresses', key: ['ipv4_addr'] }, [{ key: addressBytes('10.0.0.1') }]);
    table.apply();
    table.addElements('addresses', [{ key: addressBytes('10.0.0.2') }]);
    table.apply();
  }
  namespace.nft(['add', 'table', 'inet', 'theirs']);
  await others;
  expect(told).toEqual(['nft']);
  for (const table of tables) table.close();
});
