// For tests: a Dnsmasq on the host, started as the DHCP agent does, and guests' DHCP requests as frames.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressBytes, type IpAddress, linkLocalOf, macBytes } from '@calico-openstack/addresses';
import { frame, parseFrame } from '@calico-openstack/kernel/testing/frames';
import { type Plugged, run, type TestHost } from './host.ts';
import { type TestEndpoint, tapOf } from './resources.ts';

const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);

/** The processes, one for each address family. */
export interface TestDnsmasq {
  close(): Promise<void>;
}

/** Starts a Dnsmasq for each address family, which serves these endpoints' addresses. As the DHCP agent does, it adds the gateways to the taps, with /24 and /64. */
export async function startDnsmasq(host: TestHost, endpoints: readonly TestEndpoint[]): Promise<TestDnsmasq> {
  const directory = mkdtempSync(join(tmpdir(), 'felix-dnsmasq-'));
  const started: ChildProcess[] = [];
  const common = ['--conf-file=', '--port=0', '--no-hosts', '--no-resolv', '--bind-dynamic', '--interface=tap*', '--except-interface=lo'];
  const ranges = { 4: ['--no-ping', '--dhcp-range=0.0.0.0,static,128.0.0.0,1h'], 6: ['--dhcp-range=::,constructor:tap*,static,off-link,64,1h', '--enable-ra'] };
  for (const endpoint of endpoints) {
    await run('ip', ['-n', host.name, 'addr', 'add', '10.65.0.1/24', 'dev', tapOf(endpoint), 'noprefixroute']);
    await run('ip', ['-n', host.name, 'addr', 'add', 'fd65::1/64', 'dev', tapOf(endpoint), 'noprefixroute', 'nodad']);
  }
  for (const family of [4, 6] as const) {
    const own = join(directory, String(family));
    mkdirSync(join(own, 'hosts'), { recursive: true });
    const lines = endpoints.map(({ mac, addresses, ...rest }) => {
      const address = addresses.find((each) => each.includes(':') === (family === 6));
      return `tag:${tapOf({ mac, addresses, ...rest })},${mac},${family === 6 ? `[${address}]` : address}\n`;
    });
    writeFileSync(join(own, 'hosts', 'all'), lines.join(''));
    const paths = [
      `--dhcp-hostsdir=${join(own, 'hosts')}`,
      `--dhcp-leasefile=${join(own, 'leases')}`,
      `--pid-file=${join(own, 'pid')}`,
      `--log-facility=${join(own, 'log')}`,
    ];
    const args = [
      '--keep-in-foreground',
      ...common,
      '--dhcp-authoritative',
      '--dhcp-ignore=tag:!known',
      '--dhcp-lease-max=10000',
      '--user=root',
      ...ranges[family],
      ...paths,
    ];
    started.push(spawn('ip', ['netns', 'exec', host.name, 'dnsmasq', ...args], { stdio: 'ignore' }));
  }
  return {
    async close() {
      for (const child of started) {
        if (child.exitCode !== null) continue;
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A frame with a DHCPDISCOVER (RFC 2131), broadcast from 0.0.0.0. */
export function discover(guest: Plugged, transaction: number): Uint8Array {
  const payload = new Uint8Array(300);
  const view = new DataView(payload.buffer);
  payload.set([1, 1, 6, 0]);
  view.setUint32(4, transaction);
  view.setUint16(10, 0x8000); // the flag that asks for a broadcast answer
  payload.set(macBytes(guest.mac), 28);
  payload.set([99, 130, 83, 99, 53, 1, 1, 255], 236);
  const ports = { protocol: 17, sourcePort: 68, destinationPort: 67 };
  return frame({
    sourceMac: guest.mac,
    destinationMac: 'ff:ff:ff:ff:ff:ff',
    source: bytes('0.0.0.0'),
    destination: bytes('255.255.255.255'),
    ...ports,
    payload,
  });
}

/** A frame with a DHCPv6 SOLICIT (RFC 8415) for an address. @param source the port's own link-local address unless given */
export function solicit(guest: Plugged, transaction: number, source: string = linkLocalOf(guest.mac)): Uint8Array {
  const identifier = [0, 1, 0, 10, 0, 3, 0, 1, ...macBytes(guest.mac)];
  const address = [0, 3, 0, 12, 0, 0, 0, 1, ...new Uint8Array(8)];
  const payload = Uint8Array.from([1, transaction >> 16, (transaction >> 8) & 255, transaction & 255, ...identifier, ...address]);
  const ports = { protocol: 17, sourcePort: 546, destinationPort: 547 };
  return frame({ sourceMac: guest.mac, destinationMac: '33:33:00:01:00:02', source: bytes(source), destination: bytes('ff02::1:2'), ...ports, payload });
}

/** The address family and the transaction that a frame answers, as in `4 17`; undefined when it is no answer. */
export function answerOf(received: Uint8Array): string | undefined {
  const parsed = parseFrame(received);
  if (parsed?.protocol !== 17) return undefined;
  const view = new DataView(parsed.payload.buffer, parsed.payload.byteOffset);
  if (parsed.sourcePort === 67) return `4 ${view.getUint32(12)}`;
  if (parsed.sourcePort === 547) return `6 ${view.getUint32(8) & 0xffffff}`;
  return undefined;
}
