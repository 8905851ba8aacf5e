import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IpAddress } from '@calico-openstack/addresses';
import { silentLog } from '@calico-openstack/agent';
import { leaseOnce } from '../testing/clients.ts';
import { contractServerAddresses, contractTaps, dnsmasqContract } from '../testing/dnsmasq-contract.ts';
import { endAllIn, type Guest } from '../testing/world.ts';
import { openDnsmasq } from './disk.ts';

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
let worlds = 0;

dnsmasqContract(async () => {
  const namespace = `dhcpd-${process.pid}-${worlds++}`;
  const directory = mkdtempSync(join(tmpdir(), 'dhcp-contract-'));
  chmodSync(directory, 0o755);
  ip('netns', 'add', namespace);
  ip('-n', namespace, 'link', 'set', 'lo', 'up');
  const guests = contractTaps.map((tap, index): Guest => {
    const inside = `${namespace}-${index}`;
    ip('netns', 'add', inside);
    ip('-n', namespace, 'link', 'add', tap, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', inside);
    ip('-n', namespace, 'link', 'set', tap, 'up');
    for (const address of contractServerAddresses) ip('-n', namespace, 'addr', 'add', address, 'dev', tap, 'noprefixroute');
    return { namespace: inside, tap, run: (...command) => ip('netns', 'exec', inside, ...command), close: () => ip('netns', 'del', inside) };
  });
  const options = {
    leaseSeconds: 600,
    renewalSeconds: undefined,
    rebindingSeconds: undefined,
    leaseMax: 1000,
    broadcastReply: false,
    configFile: undefined,
    logDirectory: directory,
  };
  const dnsmasq = openDnsmasq({ directory, dnsmasq: options }, silentLog(), ['ip', 'netns', 'exec', namespace, 'dnsmasq']);
  dnsmasq.process.run();
  await dnsmasq.process.settled();

  return {
    dnsmasq,
    async ask(tap, mac) {
      const guest = guests[contractTaps.indexOf(tap as (typeof contractTaps)[number])]!;
      ip('-n', guest.namespace, 'link', 'set', 'eth0', 'down', 'address', mac);
      ip('-n', guest.namespace, 'link', 'set', 'eth0', 'up');
      const lease = await leaseOnce(guest, { attempts: 4 });
      return lease['event'] === 'bound' ? { address: lease['ip'] as IpAddress, dns: lease['dns'], routes: lease['staticroutes'] } : undefined;
    },
    settled: () => dnsmasq.process.settled(),
    async close() {
      await dnsmasq.process.close();
      for (const guest of guests) guest.close();
      endAllIn(namespace);
      ip('netns', 'del', namespace);
      rmSync(directory, { recursive: true, force: true });
    },
  };
});
