// Tests names for guests with real clients (busybox's nslookup, glibc's resolver), a real Dnsmasq that forwards, and another one as the server outside.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dhclient6, leaseOnce } from './testing/clients.ts';
import { port } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

const [outsideAddress, gateway4, gateway6] = ['127.53.0.1', '10.65.0.1', '2001:db8:a::1'] as const;
let world: World;
let outside: ChildProcess;
beforeAll(async () => {
  world = await openWorld();
  const records = ['--address=/www.example/192.0.2.7'];
  const only = ['--keep-in-foreground', '--conf-file=', '--no-resolv', '--no-hosts', '--bind-interfaces', `--listen-address=${outsideAddress}`, '--pid-file='];
  outside = spawn('ip', ['netns', 'exec', world.namespace, 'dnsmasq', ...only, ...records], { stdio: 'ignore' });
  await world.startAgent(`dnsmasq_dns_servers = ${outsideAddress}`);
});
afterAll(async () => {
  outside.kill('SIGKILL');
  await world.close();
});

/** What busybox finds under a name, at a server. */
function nslookup(guest: Guest, name: string, server: string, type = 'a'): readonly string[] {
  try {
    const text = guest.run('busybox', 'nslookup', `-type=${type}`, name, server);
    return [...text.slice(text.indexOf('\n\n')).matchAll(/^(?:Address: |.*name = )(\S+)$/gm)].map(([, found]) => found!);
  } catch {
    return []; // it says that there is no such name by its exit code
  }
}

/** What glibc finds under a name, at a server, by UDP or TCP. */
function getent(guest: Guest, name: string, server: string, by: 'udp' | 'tcp' = 'udp'): readonly string[] {
  const file = join(world.directory, 'resolv.conf');
  writeFileSync(file, `nameserver ${server}\n${by === 'tcp' ? 'options use-vc\n' : ''}`);
  const found = guest.run('sh', '-c', `mount --bind ${file} /etc/resolv.conf && { getent ahosts ${name} || true; }`);
  return [...new Set([...found.matchAll(/^(\S+)/gm)].map(([, address]) => address!))].sort();
}

test('guests of a subnet without name servers are told the gateway, which answers the names of their network and, from outside, all others', async () => {
  await world.putSubnet('a4', subnet('10.65.0.0/24', { gatewayIp: gateway4 }));
  await world.putSubnet('a6', subnet('2001:db8:a::/64', { gatewayIp: gateway6 }));
  await world.putSubnet('b4', { ...subnet('10.66.0.0/24', { gatewayIp: '10.66.0.1' }), networkId: 'net-b' });
  await world.putSubnet('c4', { ...subnet('10.67.0.0/24', { gatewayIp: '10.67.0.1', dnsServers: ['10.1.1.1'] }), networkId: 'net-c' });
  const [web, db] = [port(1, { fqdn: 'web.cloud.example.' }), port(2, { fqdn: 'db.cloud.example.' })];
  const guest = await world.guestOf(web);
  await world.guestOf(db);
  const foreign = await world.guestOf(port(3, { fqdn: 'web.cloud.example.', networkId: 'net-b', addresses: ['10.66.0.13'] }));
  const untold = await world.guestOf(port(4, { fqdn: 'vm.cloud.example.', networkId: 'net-c', addresses: ['10.67.0.14'] }));

  expect((await leaseOnce(guest))['dns']).toBe(gateway4);
  expect((await dhclient6(guest))?.['new_dhcp6_name_servers']).toBe(gateway6);
  expect((await leaseOnce(foreign))['dns']).toBe('10.66.0.1');
  guest.run('ip', '-6', 'route', 'replace', 'default', 'via', gateway6, 'dev', 'eth0', 'onlink');

  for (const server of [gateway4, gateway6]) {
    expect(nslookup(guest, 'db.cloud.example', server)).toEqual(['10.65.0.12']);
    expect(nslookup(guest, 'db.cloud.example', server, 'aaaa')).toEqual(['2001:db8:a::12']);
    expect(nslookup(guest, '12.0.65.10.in-addr.arpa', server, 'ptr')).toEqual(['db.cloud.example']);
    await world.untilHolds(() => expect(nslookup(guest, 'www.example', server)).toEqual(['192.0.2.7'])); // the server outside may still be starting
  }
  for (const by of ['udp', 'tcp'] as const) {
    expect(getent(guest, 'db.cloud.example', gateway4, by)).toEqual(['10.65.0.12', '2001:db8:a::12']);
    expect(getent(guest, 'www.example', gateway6, by)).toEqual(['192.0.2.7']);
  }

  // Each network has its own names.
  expect(nslookup(guest, 'web.cloud.example', gateway4)).toEqual(['10.65.0.11']);
  expect(nslookup(foreign, 'web.cloud.example', '10.66.0.1')).toEqual(['10.66.0.13']);
  expect(nslookup(foreign, 'db.cloud.example', '10.66.0.1')).toEqual([]);

  // Nobody else is answered: not from the host, or from outside by it, and not a guest whose subnet names servers of its own.
  expect((await leaseOnce(untold))['dns']).toBe('10.1.1.1');
  const asks = `import socket; s=socket.create_connection(("${gateway4}",53),5); s.sendall(b"\\0\\x11"+bytes.fromhex("000101000001000000000000")+b"\\0\\0\\1\\0\\1"); print(s.recv(1))`;
  const reset = /b''|ConnectionResetError|BrokenPipeError/;
  const failing = (run: () => string): string => {
    try {
      return run();
    } catch (error) {
      return String((error as { stderr: unknown }).stderr);
    }
  };
  expect(failing(() => world.host('python3', '-c', asks))).toMatch(reset);
  expect(failing(() => untold.run('python3', '-c', asks))).toMatch(reset);

  // A Dnsmasq that is killed is restarted; a new name is known at once.
  const forwarding = world.dnsmasqsRunning().find((pid) => pid !== world.dnsmasqPid() && pid !== outside.pid)!;
  process.kill(forwarding, 'SIGKILL');
  await world.until('that is logged', () => world.logged('Dnsmasq has ended, so guests get no names from outside for a moment'));
  await world.until('names outside are found again', () => nslookup(guest, 'www.example', gateway4).length > 0);
  await world.putPort({ ...db, fqdn: 'new.cloud.example.' });
  await world.until('the new name is known', () => nslookup(guest, 'new.cloud.example', gateway4).length > 0);
});

test('an agent with other options replaces the Dnsmasq that forwards; with dnsmasq_local_resolv, names outside come from the host’s own servers', async () => {
  await world.putSubnet('a4', subnet('10.65.0.0/24', { gatewayIp: gateway4 }));
  const former = world.dnsmasqsRunning();
  const resolvConf = join(world.directory, 'host-resolv.conf');
  writeFileSync(resolvConf, `nameserver ${outsideAddress}\n`);
  await world.killAgent();
  await world.startAgent('dnsmasq_local_resolv = true', { resolvConf });
  const isNew = (pid: number): boolean => !former.includes(pid);
  await world.until('another Dnsmasq runs, and one of the former less', () => {
    const running = world.dnsmasqsRunning();
    return running.some(isNew) && running.length === former.length;
  });
  const guest = await world.guestOf(port(5));
  expect((await leaseOnce(guest))['dns']).toBe(gateway4);
  await world.until('a name outside is found', () => nslookup(guest, 'www.example', gateway4).join() === '192.0.2.7');
});
