import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '@calico-openstack/agent';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { expect, test } from 'vitest';
import { placesIn } from './command.ts';
import { openDnsmasq } from './disk.ts';

test('a lease file that stays incomplete is refused, since the next port with a missing address would be shut out until that lease ends', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dhcp-disk-'));
  chmodSync(directory, 0o755);
  const dnsmasq = { leaseSeconds: 600, renewalSeconds: undefined, rebindingSeconds: undefined, leaseMax: 10, broadcastReply: false, configFile: undefined };
  const disk = openDnsmasq({ directory, dnsmasq: { ...dnsmasq, logDirectory: undefined } }, fakeLinks(), silentLog());
  const lease = '1795529559 fa:16:3e:00:00:01 10.65.0.11 * *\n';
  writeFileSync(placesIn(directory).leases, lease);
  expect(disk.leases()).toEqual([{ address: '10.65.0.11', mac: 'fa:16:3e:00:00:01' }]);
  writeFileSync(placesIn(directory).leases, `${lease}17955`);
  expect(() => disk.leases()).toThrow('still writing its lease file');
  rmSync(directory, { recursive: true });
});
