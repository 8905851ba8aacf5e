// The story of an operator and a server on the real Nova: a table of steps, which the demo tells and the test runs. After each step Neutron, etcd, the kernels, Dnsmasq and BIRD must agree.
import { createHmac } from 'node:crypto';
import { allProcesses, commandOf } from '@calico-openstack/kernel/processes/processes';
import type { ComputeHost } from '../host.ts';
import type { Lab } from '../lab.ts';
import type { Network, Port, SecurityGroup } from '../openstack.ts';
import type { Machine } from '../plan.ts';
import { ping } from '../traffic.ts';
import { within } from '../wait.ts';
import { agree } from './agree.ts';
import type { NovaHost } from './compute.ts';
import { type Move, type Moving, measureMove } from './measure.ts';
import type { Nova } from './nova.ts';
import { type Server, type Servers, servers } from './servers.ts';

/** A step. `act` does something and checks what follows; it returns what was seen, in a few words, and rejects when something is wrong. */
export type Step = { readonly says: string; readonly act: (stage: Stage) => Promise<string> };

/** What the steps have made. */
export type Stage = {
  readonly lab: Lab;
  readonly nova: Nova;
  readonly operator: Servers;
  readonly moves: Move[];
  /** How often the guest was reset because its kernel stood still (`notStuck`). */
  resets: number;
  /** How many lines on the console said so when it was last read: they stay there after a reset, until QEMU starts again. */
  complaints: number;
  network?: Network;
  group?: SecurityGroup;
  image?: Awaited<ReturnType<Servers['prepare']>>;
  /** The server that everything happens to, and one on another host. */
  server?: Server;
  beside?: Server;
  floating?: string;
  /** The host that is dead now. */
  dead?: ComputeHost | undefined;
};

/** An empty stage in a lab of three hosts with Nova. */
export function stageOf(lab: Lab): Stage {
  if (lab.nova === undefined || lab.hosts.length < 3) throw new Error('the story needs a lab of three hosts with Nova');
  return { lab, nova: lab.nova, operator: servers(lab, lab.nova), moves: [], resets: 0, complaints: 0 };
}

const cidrs = { 4: '10.65.0.0/24', 6: '2001:db8:65::/64' } as const;
/** The limits of the port's bandwidth, in kbit/s: enough for everything that the story sends. */
const limitsKbps = { ingress: 50_000, egress: 60_000 } as const;

/** The first steps, after which the server answers everybody. */
export const opening: readonly Step[] = [
  { says: 'a network with IPv4 and IPv6, a group that lets nobody in, an image and a flavor', act: prepare },
  { says: 'openstack server create, on host-1 and host-3: ACTIVE, with leases in both families', act: create },
  { says: 'the group bites: nobody gets in; with a rule, pings and TCP from host-3 do', act: openGroup },
];

/** The whole story. */
export const story: readonly Step[] = [
  ...opening,
  { says: 'metadata from Nova at 169.254.169.254: each its own, whatever a request claims', act: metadata },
  { says: 'openstack server reboot --hard', act: (stage) => change(stage, { reboot: { type: 'HARD' } }, 'ACTIVE') },
  { says: 'openstack server stop', act: stop },
  { says: 'openstack server start', act: (stage) => change(stage, { 'os-start': null }, 'ACTIVE') },
  { says: 'openstack server rebuild', act: (stage) => change(stage, { rebuild: { imageRef: stage.image!.imageRef } }, 'ACTIVE') },
  { says: 'openstack server resize, and confirm', act: resize },
  { says: 'openstack server migrate: cold, to the other host', act: coldMigrate },
  { says: 'openstack server add network: a second interface with a lease; then remove port', act: attach },
  { says: 'a floating IP and a QoS policy for the port', act: floatAndLimit },
  { says: 'openstack server migrate --live-migration', act: liveMigrate },
  { says: 'and back', act: liveMigrate },
  { says: 'a live migration that is aborted loses nothing', act: abort },
  { says: 'the lease is renewed on the host that the server has come to', act: renew },
  { says: 'openstack server shelve, and unshelve on the other host', act: shelve },
  { says: 'the host dies; openstack server evacuate', act: evacuate },
  { says: 'the dead host comes back', act: comeBack },
  { says: 'openstack server delete: nothing is left', act: remove },
];

/** How long a step may take in all. Its waits have limits of their own, and end with a better message; this limit is for whatever has none. */
const stepMs = 800_000;

/** Carries a step out. Rejects with the reason when it fails or takes too long. */
export const play = (stage: Stage, { says, act }: Step): Promise<string> => within(`"${says}"`, stepMs, act(stage));

/** Waits until all parts agree after a step. Rejects at once when the server is in ERROR: Nova may say so after the step, and then leaves something behind. */
export const allAgree = ({ lab, dead, operator, server }: Stage): Promise<void> =>
  agree(lab, dead, server && ((what, look, timeoutMs) => operator.watch(what, server.id, look, timeoutMs)));

async function prepare(stage: Stage): Promise<string> {
  const { lab, operator } = stage;
  const network = await lab.openstack.create('network', { name: 'net' });
  stage.network = network;
  await lab.openstack.create('subnet', { network_id: network.id, name: 'net-4', ip_version: 4, cidr: cidrs[4] });
  const modes = { ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' };
  await lab.openstack.create('subnet', { network_id: network.id, ip_version: 6, cidr: cidrs[6], ...modes });
  stage.group = await lab.openstack.create('security_group', { name: 'web' });
  stage.image = await operator.prepare();
  return 'made';
}

async function create(stage: Stage): Promise<string> {
  const one = (name: string, host: string): Promise<Server> =>
    stage.operator.create(host, { name, networks: [{ uuid: stage.network!.id }], security_groups: [{ name: 'web' }], ...stage.image });
  [stage.server, stage.beside] = await Promise.all([one('vm', 'host-1'), one('beside', 'host-3')]);
  for (const server of [stage.server, stage.beside]) {
    const { address4, address6 } = await movingOf(stage, server);
    await untilPrinted(stage, server, `lease4 ip=${address4}`, 'lease4-end');
    await untilPrinted(stage, server, address6, 'lease6-end');
  }
  const { address4, address6 } = await movingOf(stage, stage.server);
  return `${address4}, ${address6}`;
}

async function openGroup(stage: Stage): Promise<string> {
  const { lab } = stage;
  const { address4, address6 } = await movingOf(stage, stage.server!);
  for (const address of [address4, address6]) {
    const { received } = await ping(lab, lab.router, address, { count: 2 });
    if (received > 0) throw new Error(`the router pinged ${address}, and no rule allows that`);
  }
  for (const ethertype of ['IPv4', 'IPv6'])
    await lab.openstack.create('security_group_rule', { security_group_id: stage.group!.id, direction: 'ingress', ethertype });
  await reachable(stage);
  for (const address of [address4, address6]) {
    const said = await stage.operator.type(stage.beside!, `echo hello | nc -w 20 ${address} 80`);
    if (!said.includes('hello')) throw new Error(`TCP from host-3 to ${address}: ${said}`);
  }
  return 'dropped before, answered after';
}

/** A line of shell that asks the metadata service, with these headers. The static BusyBox has no resolver, and its wget wants one even for an address. */
const askMetadata = (...headers: readonly string[]): string => {
  const request = ['GET /openstack/latest/meta_data.json HTTP/1.0', 'Host: 169.254.169.254', ...headers, '', ''].join('\\r\\n');
  return `printf '${request}' | nc -w 20 169.254.169.254 80 || echo refused`;
};

async function metadata(stage: Stage): Promise<string> {
  const { server, beside, lab, operator } = stage as Required<Stage>;
  const isOf = (said: string, { id }: Server): boolean => said.includes(`"uuid": "${id}"`);
  for (const each of [server, beside]) {
    const said = await operator.type(each, askMetadata());
    if (!isOf(said, each)) throw new Error(`the metadata of ${each.name}: ${said}`);
  }
  const other = await movingOf(stage, beside);
  const signature = createHmac('sha256', 'lab').update(beside.id).digest('hex');
  const project = (await lab.openstack.get('port', other.port.id)).project_id;
  const claims = [`X-Forwarded-For: ${other.address4}`, `X-Instance-ID: ${beside.id}`, `X-Tenant-ID: ${project}`, `X-Instance-ID-Signature: ${signature}`];
  const claimed = await operator.type(server, askMetadata(...claims));
  if (isOf(claimed, beside)) throw new Error(`headers gave ${server.name} the metadata of ${beside.name}: ${claimed}`);
  const forged = await operator.type(
    server,
    `ip addr add ${other.address4}/32 dev eth0; ip route add 169.254.169.254 via ${gateway4} dev eth0 src ${other.address4}; ${askMetadata()}; ip route del 169.254.169.254; ip addr del ${other.address4}/32 dev eth0`,
  );
  if (!forged.includes('refused') || forged.includes('HTTP')) throw new Error(`a forged address got: ${forged}`);
  return 'a forged address got nothing';
}
const gateway4 = '10.65.0.1';

/** Carries out an action after which the server runs where it ran. */
async function change(stage: Stage, action: Readonly<Record<string, unknown>>, status: string): Promise<string> {
  await stage.operator.act(stage.server!.id, action, status);
  return await reachable(stage);
}

async function stop(stage: Stage): Promise<string> {
  const { operator, lab } = stage;
  await operator.act(stage.server!.id, { 'os-stop': null }, 'SHUTOFF');
  const { port } = await movingOf(stage, stage.server!);
  await lab.processes.until('the port to be DOWN', async () => (await lab.openstack.get('port', port.id)).status === 'DOWN' || undefined);
  return 'the port is DOWN';
}

async function resize(stage: Stage): Promise<string> {
  const { operator, server } = stage as Required<Stage>;
  const flavorRef = await operator.flavor('larger', 224);
  await operator.act(server.id, { resize: { flavorRef } }, 'VERIFY_RESIZE');
  await operator.act(server.id, { confirmResize: null }, 'ACTIVE');
  return await reachable(stage);
}

async function coldMigrate(stage: Stage): Promise<string> {
  const { operator, server } = stage as Required<Stage>;
  const host = await otherHost(stage);
  await operator.act(server.id, { migrate: { host } }, 'VERIFY_RESIZE', host);
  await operator.act(server.id, { confirmResize: null }, 'ACTIVE', host);
  return await reachable(stage);
}

async function attach(stage: Stage): Promise<string> {
  const { operator, server, lab } = stage as Required<Stage>;
  const network = await lab.openstack.create('network', { name: 'second' });
  await lab.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.66.0.0/24' });
  await operator.ask('POST', `servers/${server.id}/os-interface`, { interfaceAttachment: { net_id: network.id } });
  const [port] = await lab.openstack.list('port', { device_id: server.id, network_id: network.id });
  const address = port!.fixed_ips[0]!.ip_address;
  await lab.processes.until('the second port to be ACTIVE', async () => (await lab.openstack.get('port', port!.id)).status === 'ACTIVE' || undefined, {
    timeoutMs: 120_000,
  });
  const tell = `printf '#!/sbin/dash\\necho "$1 $ip"\\n' >/run/tell; chmod +x /run/tell`;
  const said = await operator.type(server, `${tell}; ip link set eth1 up; udhcpc -n -q -t 30 -T 1 -i eth1 -s /run/tell`);
  if (!said.includes(`bound ${address}`)) throw new Error(`the second interface has no lease of ${address}: ${said}`);
  await operator.ask('DELETE', `servers/${server.id}/os-interface/${port!.id}`);
  await lab.processes.until('the second port to go', async () => (await lab.openstack.list('port', { id: port!.id })).length === 0 || undefined);
  await lab.openstack.remove('network', network.id);
  return `${address} by DHCP, and gone`;
}

async function floatAndLimit(stage: Stage): Promise<string> {
  const { lab } = stage;
  const { port } = await movingOf(stage, stage.server!);
  const outside = await lab.openstack.create('network', { name: 'outside', 'router:external': true });
  await lab.openstack.create('subnet', { network_id: outside.id, ip_version: 4, cidr: '203.0.113.0/24', enable_dhcp: false });
  const router = await lab.openstack.create('router', { name: 'router', external_gateway_info: { network_id: outside.id } });
  const subnet = port.fixed_ips.find(({ ip_address }) => !ip_address.includes(':'))!.subnet_id;
  await lab.openstack.request('PUT', `routers/${router.id}/add_router_interface`, { subnet_id: subnet });
  const floating = await lab.openstack.create('floatingip', { floating_network_id: outside.id, port_id: port.id });
  stage.floating = floating.floating_ip_address;
  const post = async (path: string, body: unknown): Promise<string> => {
    const answer = await lab.openstack.request('POST', path, body);
    if (answer.status !== 201) throw new Error(`Neutron answered ${answer.status} to ${path}: ${answer.body}`);
    return answer.body;
  };
  const made = JSON.parse(await post('qos/policies', { policy: { name: 'limited' } })) as { policy: { id: string } };
  for (const [direction, max_kbps] of Object.entries(limitsKbps))
    await post(`qos/policies/${made.policy.id}/bandwidth_limit_rules`, { bandwidth_limit_rule: { max_kbps, direction } });
  await lab.openstack.update('port', port.id, { qos_policy_id: made.policy.id });
  return await reachable(stage);
}

/** Moves the server while others send to it, and checks that no connection breaks. What was measured is added to the stage, unless QEMU broke the guest. */
export async function liveMigrate(stage: Stage): Promise<string> {
  const { lab, nova, operator, server, resets } = stage as Required<Stage>;
  const host = await otherHost(stage);
  const [target, third] = [hostOf(lab, host), hostOf(lab, 'host-3')];
  const move = await measureMove(lab, await movingOf(stage, server), target, third, async () => {
    await operator.act(server.id, { 'os-migrateLive': { host, block_migration: 'auto' } }, 'ACTIVE', host);
    return await downtimeOf(novaHostOf(nova, host), server);
  });
  await reachable(stage);
  if (stage.resets > resets) return "not measured: the guest's kernel stood still after the move, and was reset";
  if (move.tcpTrouble !== '') throw new Error(`the TCP connection broke: ${move.tcpTrouble}`);
  stage.moves.push(move);
  const { networkMs, lostPings, downtimeMs } = move;
  return `the network's share ${networkMs[4]} ms, IPv6 ${networkMs[6]} ms; QEMU's ${downtimeMs} ms; ${lostPings[4]} and ${lostPings[6]} pings lost`;
}

/** How long QEMU had stopped the guest. */
async function downtimeOf(host: NovaHost, { id }: Server): Promise<number> {
  const said = await host.run('virsh', 'domjobinfo', id, '--completed');
  return Number(/Total downtime:\s+(\d+)/.exec(said)?.[1] ?? Number.NaN);
}

async function abort(stage: Stage): Promise<string> {
  const { lab, nova, operator, server } = stage as Required<Stage>;
  const { address4 } = await movingOf(stage, server);
  const before = await hostNameOf(stage);
  // At this speed it would last for minutes.
  await novaHostOf(nova, before).run('virsh', 'migrate-setspeed', server.id, '1');
  await operator.ask('POST', `servers/${server.id}/action`, { 'os-migrateLive': { host: await otherHost(stage), block_migration: 'auto' } });
  const id = await operator.watch('a migration that runs', server.id, async () => {
    const { migrations } = await operator.ask<{ migrations: { id: number; status: string }[] }>('GET', `servers/${server.id}/migrations`);
    return migrations.find(({ status }) => status === 'running')?.id;
  });
  const { sent, received } = await ping(lab, lab.router, address4, { count: 100, intervalMs: 20 });
  await operator.ask('DELETE', `servers/${server.id}/migrations/${id}`);
  await operator.watch(
    'the end of the migration',
    server.id,
    ({ status, 'OS-EXT-STS:task_state': task }) => (status === 'ACTIVE' && task === null) || undefined,
  );
  const after = await ping(lab, lab.router, address4, { count: 100, intervalMs: 20 });
  const lost = sent - received + after.sent - after.received;
  if (lost > 0) throw new Error(`${lost} pings were lost in a migration that was aborted`);
  const host = await hostNameOf(stage);
  if (host !== before) throw new Error(`the server is on ${host} after a migration that was aborted`);
  return `0 of ${sent + after.sent} pings lost`;
}

async function renew(stage: Stage): Promise<string> {
  const { operator, server } = stage as Required<Stage>;
  const said = await operator.type(server, `rm /run/lease4; kill -USR1 $(pidof udhcpc); until [ -s /run/lease4 ]; do sleep 0.2; done; grep event= /run/lease4`);
  if (!said.includes('event=renew')) throw new Error(`no renewal: ${said}`);
  return 'renewed';
}

async function shelve(stage: Stage): Promise<string> {
  const { operator, server } = stage as Required<Stage>;
  const host = await otherHost(stage);
  await operator.act(server.id, { shelve: null }, 'SHELVED_OFFLOADED');
  await operator.act(server.id, { unshelve: { host } }, 'ACTIVE', host);
  return await reachable(stage);
}

async function evacuate(stage: Stage): Promise<string> {
  const { lab, nova, operator, server } = stage as Required<Stage>;
  const [name, host] = [await hostNameOf(stage), await otherHost(stage)];
  const [dead, itsNova] = [hostOf(lab, name), novaHostOf(nova, name)];
  stage.dead = dead;
  await lab.processes.run('ip', ['link', 'set', 'fabric', 'down'], { on: dead });
  for (const service of [itsNova.compute, itsNova.libvirtd, dead.felix, dead.dhcpAgent, dead.birdAgent, dead.bird]) service?.kill('SIGKILL');
  for (const { pid } of allProcesses()) if (commandOf(pid).some((word) => word.includes(server.id))) process.kill(pid, 'SIGKILL');
  await forceDown(stage, true);
  await operator.act(server.id, { evacuate: { host } }, 'ACTIVE', host);
  return await reachable(stage);
}

async function comeBack(stage: Stage): Promise<string> {
  const { lab, nova, dead: host } = stage as Required<Stage>;
  if (host === undefined) throw new Error('no host is dead');
  const [{ link }, itsNova] = [host, novaHostOf(nova, host.name)];
  await lab.processes.run('ip', ['link', 'set', 'fabric', 'up'], { on: host });
  // With the link, the kernel has taken its IPv6 address and the default routes away.
  for (const [family, address, router] of [
    ['-4', `${link.machine4}/30`, link.router4],
    ['-6', `${link.machine6}/64`, link.router6],
  ] as const) {
    await lab.processes.attempt('ip', [family, 'address', 'replace', address, 'dev', 'fabric', ...(family === '-6' ? ['nodad'] : [])], { on: host });
    await lab.processes.run('ip', [family, 'route', 'replace', 'default', 'via', router, 'dev', 'fabric'], { on: host });
  }
  await host.bird.start();
  await Promise.all([host.felix, host.dhcpAgent, host.birdAgent].map((service) => service?.start()));
  await itsNova.libvirtd.start();
  await itsNova.compute.start();
  // Nova refuses until its service there has removed what was evacuated.
  const accepted = (): Promise<true> => forceDown(stage, false).then(() => true);
  await lab.processes.until(`Nova to take ${host.name} back`, accepted, { timeoutMs: 120_000, intervalMs: 500 });
  stage.dead = undefined;
  return 'its tap of the server is gone';
}

/** Says that the host is dead, so that Nova lets its servers be evacuated, or that it lives. */
async function forceDown({ operator, dead }: Stage, forced: boolean): Promise<void> {
  const { services } = await operator.ask<{ services: { id: string }[] }>('GET', `os-services?binary=nova-compute&host=${dead!.name}`);
  await operator.ask('PUT', `os-services/${services[0]!.id}`, { forced_down: forced });
}

async function remove(stage: Stage): Promise<string> {
  const { operator, server, beside, lab } = stage as Required<Stage>;
  await Promise.all([server, beside].map(({ id }) => operator.remove(id)));
  const left = (await lab.openstack.list('port')).filter(({ device_owner }) => device_owner.startsWith('compute:'));
  if (left.length > 0) throw new Error(`Neutron has ${left.length} ports of deleted servers`);
  const emulators = allProcesses().filter(({ pid }) => commandOf(pid).some((word) => word.includes(server.id) || word.includes(beside.id)));
  if (emulators.length > 0) throw new Error(`${emulators.length} processes of QEMU are left`);
  delete stage.server;
  return 'no port, no process of QEMU';
}

/** Waits until the server's port is ACTIVE on the server's host, and it answers in both families, and at its floating IP if it has one. */
async function reachable(stage: Stage): Promise<string> {
  const { lab, operator, server } = stage;
  const beginMs = performance.now();
  const { address4, address6 } = await movingOf(stage, server!);
  for (const address of [address4, address6, ...(stage.floating === undefined ? [] : [stage.floating])])
    await operator.watch(`an answer of ${address}`, server!.id, async () => {
      if ((await ping(lab, lab.router, address, { count: 1 })).received === 1) return true;
      await notStuck(stage);
      return undefined;
    });
  return `answers after ${((performance.now() - beginMs) / 1000).toFixed(1)} s`;
}

/**
 * Resets a guest whose kernel has stopped. QEMU's emulation of a processor now and then loses a write to the guest's memory while it migrates on a busy machine, and then the guest's
 * kernel turns in a loop, as it says itself on its console. That is no fault of the network.
 */
async function notStuck(stage: Stage): Promise<void> {
  const { operator, nova, server } = stage;
  const complaints = (await operator.console(server!.id)).match(/soft lockup|Kernel panic|rcu: INFO/g)?.length ?? 0;
  const isStuck = complaints > stage.complaints;
  stage.complaints = complaints;
  if (!isStuck) return;
  const host = (await operator.get(server!.id))['OS-EXT-SRV-ATTR:host'];
  await novaHostOf(nova, host!).run('virsh', 'reset', server!.id);
  stage.resets += 1;
}

/** The server's first port, when it is ACTIVE on the server's host. */
async function movingOf({ lab, operator }: Stage, { id, name }: Server): Promise<Moving & { readonly port: Port }> {
  return await operator.watch(`the port of ${name}, ACTIVE on its host`, id, async ({ status, 'OS-EXT-SRV-ATTR:host': host }) => {
    const [port] = await lab.openstack.list('port', { device_id: id });
    const [address4, address6] = [4, 6].map((family) => port?.fixed_ips.find(({ ip_address }) => ip_address.includes(':') === (family === 6))?.ip_address);
    if (port === undefined || address4 === undefined || address6 === undefined) return undefined;
    if (status === 'ACTIVE' && (port.status !== 'ACTIVE' || port['binding:host_id'] !== host)) return undefined;
    return { port, tap: `tap${port.id.slice(0, 11)}`, address4, address6 };
  });
}

const untilPrinted = ({ operator }: Stage, { id, name }: Server, ...texts: readonly string[]): Promise<unknown> =>
  operator.watch(`${texts.join(' and ')} on the console of ${name}`, id, async () => {
    const said = await operator.console(id);
    return texts.every((text) => said.includes(text)) || undefined;
  });

/** The name of the host that the server is on. */
const hostNameOf = async ({ operator, server }: Stage): Promise<string> => (await operator.get(server!.id))['OS-EXT-SRV-ATTR:host']!;

/** The other one of the first two hosts. The server on the third one is there to send. */
const otherHost = async (stage: Stage): Promise<string> => ((await hostNameOf(stage)) === 'host-1' ? 'host-2' : 'host-1');

function hostOf(lab: Lab, name: string): ComputeHost & Machine {
  return lab.hosts.find((host) => host.name === name)!;
}

function novaHostOf(nova: Nova, name: string): NovaHost {
  return nova.hosts.find((host) => host.name === name)!;
}
