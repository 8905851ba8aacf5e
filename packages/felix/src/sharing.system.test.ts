// An address that several ports have as a pair follows the guest that has it. The guests are real Linux hosts' interfaces, which answer ARP and neighbour solicitations.
import { addressBytes, type IpAddress, linkLocalBytes, macBytes } from '@calico-openstack/addresses';
import { icmp6Frame } from '@calico-openstack/kernel';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Plugged, run, TestHost } from './testing/host.ts';
import { endpointNumber, securityGroup, type TestEndpoint, tapOf, workloadEndpoint } from './testing/resources.ts';

const [vip4, vip6] = ['10.65.0.100', 'fd65::100'] as const;
const udp = { protocol: 17, destinationPort: 7000 };
const open = securityGroup('open', [
  { action: 'Allow', ipVersion: 4 },
  { action: 'Allow', ipVersion: 6 },
]);

let host: TestHost;
let [one, two, third]: [Plugged, Plugged, Plugged] = [] as never;

const prefixed = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;
/** The endpoint with the shared addresses as address pairs. */
const withPair = (endpoint: TestEndpoint) =>
  workloadEndpoint({
    ...endpoint,
    spec: { ipNetworks: [...endpoint.addresses, vip4, vip6].map(prefixed), allowedIps: [vip4, vip6].map(prefixed) },
  });
const inGuests = (...command: readonly string[]) => run('ip', ['netns', 'exec', host.workloadsName, ...command]);
const peerOf = (workload: TestEndpoint): string => `w${tapOf(workload).slice(3)}`;
const takes = (workload: Plugged, address: string) =>
  inGuests('ip', 'address', 'add', prefixed(address), 'dev', peerOf(workload), ...(address.includes(':') ? ['nodad'] : []));
const drops = (workload: Plugged, address: string) => inGuests('ip', 'address', 'delete', prefixed(address), 'dev', peerOf(workload));

async function leadsTo(address: string): Promise<string> {
  return (await host.exec('ip', address.includes(':') ? '-6' : '-4', 'route', 'show', prefixed(address))).match(/dev (\S+)/)?.[1] ?? 'nowhere';
}
const untilLeadsTo = (address: string, where: string): Promise<void> =>
  host.until(async () => (await leadsTo(address)) === where, `${address} to lead to ${where}`);

/** The guest announces an address, as keepalived does when it becomes master. */
function announce(workload: Plugged, address: string, mac = workload.mac): void {
  if (!address.includes(':')) {
    host.sendArp({ ...workload, mac }, 1, address, address);
    return;
  }
  const target = addressBytes(address as IpAddress);
  host.wire.send(
    workload.interfaceIndex,
    icmp6Frame({
      sourceMac: macBytes(mac),
      destinationMac: macBytes('33:33:00:00:00:01'),
      source: linkLocalBytes(mac),
      destination: addressBytes('ff02::1' as IpAddress),
      message: Uint8Array.from([136, 0, 0, 0, 0x20, 0, 0, 0, ...target, 2, 1, ...macBytes(mac)]),
    }),
  );
}

beforeAll(async () => {
  host = await TestHost.open();
  for (const name of ['arp_ignore', 'arp_announce']) await inGuests('sysctl', '-q', '-w', `net.ipv4.conf.all.${name}=1`); // each interface is a guest of its own
  await inGuests('sysctl', '-q', '-w', 'net.ipv4.conf.default.arp_ignore=1');
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
  third = await host.plug(endpointNumber(3));
  await host.put(open, withPair(one), withPair(two), workloadEndpoint(third));
  host.startAgent();
  await host.untilProgrammed();
});
afterAll(() => host.close());

test('an address that no guest has leads nowhere; the one that gets it is found, without its help', async () => {
  for (const address of [vip4, vip6]) {
    expect(await leadsTo(address)).toBe('nowhere');
    await takes(one, address);
    await untilLeadsTo(address, tapOf(one));
  }
});

test('it follows the guest that announces it, with the right to send from it', async () => {
  for (const address of [vip4, vip6]) {
    await drops(one, address);
    await takes(two, address);
    announce(two, address);
    await untilLeadsTo(address, tapOf(two));
    const family = address === vip4 ? 4 : 6;
    await host.untilPasses(third, two, { ...udp, destination: address }, true, family);
    await host.untilPasses(two, third, { ...udp, source: address }, true, family);
    expect(await host.passes(one, third, { ...udp, source: address }, family)).toBe(false);
  }
});

test('it follows to a guest that has it when its holder no longer has, without an announcement', async () => {
  for (const address of [vip4, vip6]) {
    await drops(two, address);
    await takes(one, address);
    await untilLeadsTo(address, tapOf(one));
  }
});

test('nobody takes it who does not have it as a pair, or by a MAC that is not his', async () => {
  for (const address of [vip4, vip6]) {
    announce(third, address);
    announce(two, address, 'fa:16:3e:00:00:77');
  }
  await host.untilPasses(two, third, udp); // these packets came later on the same wires
  for (const address of [vip4, vip6]) expect(await leadsTo(address)).toBe(tapOf(one));
});

test('a restart of the agent moves nothing', async () => {
  await host.stopAgent('SIGKILL');
  host.output = '';
  const monitor = host.exec('timeout', '3', 'ip', 'monitor', 'route').catch((error: { stdout: string }) => error.stdout);
  host.startAgent();
  await host.untilProgrammed();
  expect(await monitor).not.toContain(vip4);
  for (const address of [vip4, vip6]) expect(await leadsTo(address)).toBe(tapOf(one));
});

test('from host to host: one that is shared with a port of another host leads here only while a guest here has it', async () => {
  const elsewhere = { ...endpointNumber(9), host: 'host1', addresses: ['10.65.0.19'] };
  await host.put(workloadEndpoint(two), withPair(elsewhere)); // two lets the pair go, and a port of another host gets it
  for (const address of [vip4, vip6]) {
    await untilLeadsTo(address, tapOf(one));
    await drops(one, address);
    await untilLeadsTo(address, 'nowhere');
    // The guest does not answer for it, so it leads there for a second after an announcement.
    await host.until(
      async () => {
        announce(one, address);
        return (await leadsTo(address)) === tapOf(one);
      },
      `${address} to lead to ${tapOf(one)}`,
    );
  }
});

test('one that a single port has is its own, whether its guest has it or not', async () => {
  await host.delete(withPair({ ...endpointNumber(9), host: 'host1' }).key);
  for (const address of [vip4, vip6]) await untilLeadsTo(address, tapOf(one));
  await new Promise((resolve) => setTimeout(resolve, 1500)); // longer than a guest has to answer
  for (const address of [vip4, vip6]) expect(await leadsTo(address)).toBe(tapOf(one));
});
