import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IpAddress } from '@calico-openstack/addresses';
import { pause, silentLog } from '@calico-openstack/agent';
import { inNamespace } from '@calico-openstack/kernel';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { residentBytesOf } from '@calico-openstack/kernel/processes/processes';
import { expect, test } from 'vitest';
import { servePort } from '../service/serve.ts';
import { leaseOnce } from '../testing/clients.ts';
import { contractMacs, contractServerAddresses, contractTaps, type DnsmasqWorld, dnsmasqContract } from '../testing/dnsmasq-contract.ts';
import { facts, serviceOptions, subnet } from '../testing/facts.ts';
import { endAllIn, type Guest } from '../testing/world.ts';
import { openDnsmasq } from './disk.ts';
import { hostEntryOf, printHost, printOptions } from './files.ts';
import type { DnsmasqProcess } from './supervisor.ts';

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
let worlds = 0;

/** Starts Dnsmasq in a namespace of its own. The taps come when `plug` is called. */
async function start(growthMaxBytes?: number): Promise<DnsmasqWorld & { readonly namespace: string; readonly process: DnsmasqProcess; plug(): void }> {
  const namespace = `dhcpd-${process.pid}-${worlds++}`;
  const directory = mkdtempSync(join(tmpdir(), 'dhcp-contract-'));
  chmodSync(directory, 0o755);
  ip('netns', 'add', namespace);
  ip('-n', namespace, 'link', 'set', 'lo', 'up');
  const options = {
    leaseSeconds: 600,
    renewalSeconds: undefined,
    rebindingSeconds: undefined,
    leaseMax: 1000,
    broadcastReply: false,
    configFile: undefined,
    logDirectory: directory,
  };
  const guests: Guest[] = [];
  const createGuest = (tap: string, index: number): Guest => {
    const inside = `${namespace}-${index}`;
    ip('netns', 'add', inside);
    ip('-n', namespace, 'link', 'add', tap, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', inside);
    ip('-n', namespace, 'link', 'set', tap, 'up');
    for (const address of contractServerAddresses) ip('-n', namespace, 'addr', 'add', address, 'dev', tap, 'noprefixroute');
    return { namespace: inside, tap, run: (...command) => ip('netns', 'exec', inside, ...command), close: () => ip('netns', 'del', inside) };
  };
  const links = inNamespace(namespace, () => openLinks());
  const dnsmasq = openDnsmasq({ directory, dnsmasq: options }, links, silentLog(), {
    program: ['ip', 'netns', 'exec', namespace, 'dnsmasq'],
    ...(growthMaxBytes !== undefined && { growthMaxBytes }),
  });
  dnsmasq.process.run();
  await dnsmasq.process.settled();

  return {
    namespace,
    dnsmasq,
    process: dnsmasq.process,
    plug: () => void guests.push(...contractTaps.map(createGuest)),
    async ask(tap, mac, impatiently = false) {
      const guest = guests[contractTaps.indexOf(tap as (typeof contractTaps)[number])]!;
      ip('-n', guest.namespace, 'link', 'set', 'eth0', 'down', 'address', mac);
      ip('-n', guest.namespace, 'link', 'set', 'eth0', 'up');
      const lease = await leaseOnce(guest, impatiently ? { attempts: 4 } : {});
      return lease['event'] === 'bound' ? { address: lease['ip'] as IpAddress, dns: lease['dns'], routes: lease['staticroutes'] } : undefined;
    },
    settled: () => dnsmasq.process.settled(),
    async close() {
      await dnsmasq.process.close();
      links.close();
      for (const guest of guests) guest.close();
      endAllIn(namespace);
      ip('netns', 'del', namespace);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

dnsmasqContract(async () => {
  const world = await start();
  world.plug();
  return world;
});

test('Dnsmasq starts on a host without taps, leaves no address of its own, and serves the taps that come', async () => {
  const world = await start();
  try {
    expect(world.dnsmasq.isServing()).toBe(true);
    expect(ip('-n', world.namespace, '-4', '-o', 'address', 'show', 'lo').match(/inet \S+/g)).toEqual(['inet 127.0.0.1/8']);
    const [[tap], [mac]] = [contractTaps, contractMacs];
    const { service } = servePort(
      facts({ tap, mac, addresses: ['10.65.0.11'], subnets: [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1' })] }),
      serviceOptions,
    );
    world.dnsmasq.writeFiles(tap, { host: printHost(hostEntryOf(tap, mac, service!.ipv4!)), options: printOptions(tap, service!.ipv4!) });
    world.plug();
    expect((await world.ask(tap, mac))?.address).toBe('10.65.0.11');
  } finally {
    await world.close();
  }
});

test('a Dnsmasq that grows at each reload is replaced by one that is as small as the first was, and serves all the time', async () => {
  const limitBytes = 400_000;
  const world = await start(limitBytes);
  try {
    const { dnsmasq, process: supervised } = world;
    for (const index of Array.from({ length: 60 }).keys()) {
      const [tap, mac, address] = [`tap${index}`.padEnd(14, '-'), `fa:16:3e:00:00:${index.toString(16).padStart(2, '0')}`, `10.65.0.${index + 10}`];
      const { service } = servePort(facts({ tap, mac, addresses: [address], subnets: [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1' })] }), serviceOptions);
      dnsmasq.writeFiles(tap, { host: printHost(hostEntryOf(tap, mac, service!.ipv4!)), options: printOptions(tap, service!.ipv4!) });
    }
    const pid = (): number => Number(ip('netns', 'pids', world.namespace).trim().split('\n').at(-1));
    const first = pid();
    await pause(1500); // Dnsmasq reads all files, and the supervisor looks at its memory
    const beforeBytes = residentBytesOf(first);
    let peakBytes = 0;
    for (const startedMs = performance.now(); supervised.restarts === 0; peakBytes = Math.max(peakBytes, residentBytesOf(first))) {
      expect(performance.now() - startedMs).toBeLessThan(60_000);
      dnsmasq.reload();
      await pause(20);
    }
    await supervised.settled();
    expect(dnsmasq.isServing()).toBe(true);
    expect(peakBytes).toBeGreaterThan(beforeBytes + limitBytes / 2);
    expect(pid()).not.toBe(first);
    expect(residentBytesOf(pid())).toBeLessThan(peakBytes);
  } finally {
    await world.close();
  }
});
