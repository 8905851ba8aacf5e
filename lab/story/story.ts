// Tells the demo's story while it happens. Every claim is checked; the first one that does not hold ends the story.
import { type Lab, listedAgents } from '../lab.ts';
import { draw } from '../picture.ts';
import { look, type Route } from '../scene.ts';
import { listen, ping, type Reach, reach } from '../traffic.ts';
import { createVm, powerOn, type Vm } from '../vm.ts';
import {
  type Create,
  cast,
  createGroups,
  createSubnets,
  createVms,
  type Groups,
  isActive,
  moveTo,
  type Role,
  roles,
  type Subnets,
  shop,
  type Vms,
} from './content.ts';
import { type Claim, ClaimFailed, type Telling } from './telling.ts';
import { hostsWhoseRulesName, tracesOf } from './traces.ts';

/** How to tell the story. */
export type StoryOptions = {
  /** Creates web-1 as an emulated machine that opens its ports by itself. Left out: web-1 is a namespace, as the other VMs are. */
  readonly machine?: Create | undefined;
  readonly columns: number;
};

/** Tells the story. Rejects with ClaimFailed when a claim does not hold. */
export async function tellStory(lab: Lab, telling: Telling, { machine, columns }: StoryOptions): Promise<void> {
  const ground = await telling.chapter('A network, two subnets, two security groups', () => makeNetwork(lab, telling));
  const vms = await telling.chapter('Five VMs on three hosts', () => startVms(lab, telling, ground, machine));
  await telling.chapter('Who may talk to whom', () => sendPackets(lab, telling, vms));
  await telling.chapter('What there is now', () => showPicture(lab, telling, columns));
  await telling.chapter('batch-1 leaves the group web for the group clients', () => changeGroup(lab, telling, vms, ground.groups));
  await telling.chapter('client-2 is deleted', () => deleteVm(lab, telling, vms, ground.groups));
}

type Ground = { readonly network: { readonly id: string }; readonly subnets: Subnets; readonly groups: Groups };

async function makeNetwork(lab: Lab, telling: Telling): Promise<Ground> {
  telling.command('openstack network create shop', await lab.openstack.cli('network', 'create', shop.name, '-f', 'value', '-c', 'id'));
  const [network] = await lab.openstack.list('network', { name: shop.name });
  if (network === undefined) throw new Error('openstack network create succeeded, but Neutron knows no network of that name');
  const [subnets, groups] = await Promise.all([
    telling.step(`subnets ${shop.cidr4} and ${shop.cidr6}, with DHCP`, () => createSubnets(lab, network)),
    telling.step('groups web and clients: clients may ping web, and reach TCP port 80; nobody else may', () => createGroups(lab)),
  ]);
  return { network, subnets, groups };
}

async function startVms(lab: Lab, telling: Telling, { network, subnets, groups }: Ground, machine: Create | undefined): Promise<Vms> {
  const isMachine = (role: Role): boolean => role === 'web1' && machine !== undefined;
  const create = (role: Role): Create => (isMachine(role) ? (machine ?? createVm) : createVm);
  const vms = await telling.step('a port in Neutron for each, bound to its host', () => createVms(lab, network, subnets, groups, create));
  const after = await telling.step('plugged in on the hosts; addresses and routes by DHCP and router advertisement', () =>
    Promise.all(roles.map((role) => online(lab, vms[role], isMachine(role) ? [] : ['tcp:80', 'tcp:22']))),
  );
  await telling.step('their routes by BGP, on the router and on each host', () => routed(lab, Object.values(vms)));
  const cell = (seconds: number): string => `${seconds.toFixed(2)} s`;
  telling.table([
    ['VM', 'group', 'on', 'by DHCP', 'after', 'by DHCPv6', 'after', 'ACTIVE after'],
    ...roles.map((role, index) => {
      const { address4 = '', address6 = '', host, facts } = vms[role];
      const { lease4, lease6, active } = after[index]!;
      return [facts.name, cast[role].group, host.name, address4, cell(lease4), address6, cell(lease6), cell(active)];
    }),
  ]);
  if (machine !== undefined) await telling.check(hasItsOwnKernel(vms.web1, vms.web2));
  const listed = listedAgents(lab).map((program) => titles[program] ?? program);
  await typeCommands(
    lab,
    telling,
    {
      typed: 'openstack network agent list -c Host -c Binary -c Alive',
      says: `${list(listed)} of each host ${listed.length === 1 ? 'is' : 'are'} alive`,
      times: listed.length * lab.hosts.length,
      word: ':-)',
    },
    { typed: 'openstack port list -c Name -c Status', says: 'every port is ACTIVE', times: roles.length, word: 'ACTIVE' },
  );
  return vms;
}

const titles: Readonly<Record<string, string>> = { 'calico-felix': 'Felix', 'calico-dhcp-agent': 'the DHCP agent', 'calico-bird-agent': 'the BIRD agent' };
const list = (names: readonly string[]): string => [names.slice(0, -1).join(', '), names.at(-1)].filter(Boolean).join(' and ');

const hasItsOwnKernel = (vm: Vm, other: Vm): Claim => ({
  says: `${vm.facts.name} is an emulated machine with a kernel of its own`,
  look: async () => {
    const [own, shared] = await Promise.all([vm.kernel(), other.kernel()]);
    return { holds: own !== shared, seen: own };
  },
});

/**
 * Plugs the VM in, opens these ports in it, and waits until it is online. Returns the seconds after which each lease came and the port became ACTIVE. Throws when a lease is not what the port
 * says.
 */
async function online(lab: Lab, vm: Vm, ports: readonly string[]): Promise<{ readonly lease4: number; readonly lease6: number; readonly active: number }> {
  const beginMs = performance.now();
  const after = async (what: Promise<unknown>): Promise<number> => {
    await what;
    return (performance.now() - beginMs) / 1000;
  };
  await powerOn(vm);
  const opened = ports.length === 0 ? undefined : listen(lab, vm, ports);
  const active = lab.processes.until(`the port of ${vm.facts.name} to be ACTIVE`, async () => (await isActive(lab, vm)) || undefined, { intervalMs: 100 });
  const [lease4, lease6, activeAfter] = await Promise.all([after(vm.lease(4)), after(vm.lease(6)), after(active), opened]);
  for (const family of families) {
    const says = `${vm.facts.name} is given its port's address by DHCP`;
    const { address } = await vm.lease(family);
    if (address !== addressOf(vm, family)) throw new ClaimFailed(says, `${address} instead of ${addressOf(vm, family)}`);
  }
  await Promise.all(families.map((family) => vm.online(family)));
  return { lease4, lease6, active: activeAfter };
}

/** Waits until the router and each host have a route to each address of the VMs. A guest has its lease before the other hosts have learnt where it is. */
async function routed(lab: Lab, vms: readonly Vm[]): Promise<void> {
  await lab.processes.until('routes to all VMs', async () => {
    const { router, hosts } = await look(lab);
    const lacks = ({ routes }: { readonly routes: readonly Route[] }, address: string): boolean => !routes.some(({ destination }) => destination === address);
    return !vms.some((vm) => families.some((family) => [router, ...hosts].some((machine) => lacks(machine, addressOf(vm, family))))) || undefined;
  });
}

async function sendPackets(lab: Lab, telling: Telling, { web1, web2, client1, client2, batch1 }: Vms): Promise<void> {
  await telling.check(
    pings(lab, client1, web1, 'on the same host'),
    pings(lab, client2, web1, `from ${client2.host.name} to ${web1.host.name}`),
    reaches(lab, client2, web1, 80, 'answered'),
    reaches(lab, client1, web2, 80, 'answered'),
    reaches(lab, client1, web2, 22, 'silence'),
    { ...reaches(lab, web2, web2, 22, 'answered'), says: `  although something listens there: ${web2.facts.name} reaches it itself` },
    { ...reaches(lab, batch1, web1, 80, 'silence'), says: `${batch1.facts.name} does not reach TCP port 80 of ${web1.facts.name}: it is not in clients` },
    notPinged(lab, web2, client1, `${client1.facts.name} is in clients, which lets nobody in`),
  );
}

async function showPicture(lab: Lab, telling: Telling, columns: number): Promise<void> {
  for (const line of draw(await look(lab), columns - 2).split('\n')) telling.say(line === '' ? '' : `  ${line}`);
}

async function changeGroup(lab: Lab, telling: Telling, { web1, client1, batch1 }: Vms, { clients }: Groups): Promise<void> {
  await telling.check(reaches(lab, client1, batch1, 80, 'answered'), reaches(lab, batch1, web1, 80, 'silence'));
  await telling.step('the port changes its group, in Neutron', () => moveTo(lab, batch1, clients));
  const since = stopwatch();
  const becomes = (says: string, from: Vm, to: Vm, wanted: Reach): Claim => ({
    says,
    look: async () => {
      const try4 = (): Promise<Reach> => reach(lab, from, 'tcp', addressOf(to, 4), 80, { timeoutMs: 300 });
      await lab.processes.until(says, async () => (await try4()) === wanted || undefined);
      return { holds: true, seen: since() };
    },
  });
  await telling.check(becomes('batch-1 reaches TCP port 80 of web-1 now', batch1, web1, 'answered'));
  await telling.check(becomes('client-1 reaches TCP port 80 of batch-1 no more', client1, batch1, 'silence'));
  await telling.check(pings(lab, batch1, web1, 'as those in clients may'));
}

async function deleteVm(lab: Lab, telling: Telling, { web1, client1, client2 }: Vms, { clients }: Groups): Promise<void> {
  const own = client2.host.name;
  const places = ['etcd', 'the router', ...lab.hosts.map(({ name }) => name)];
  await telling.check(
    {
      says: 'it stands in etcd, in routes of the router and all hosts, in rules of hosts with VMs of web',
      look: async () => {
        const traces = await tracesOf(lab, client2);
        const wanted = ['etcd: ', 'route on router ', ...lab.hosts.map(({ name }) => `route on ${name} `), `rules of ${web1.host.name}`, `rules of ${own}`];
        const missing = wanted.filter((start) => !traces.some((trace) => trace.startsWith(start)));
        return { holds: missing.length === 0, seen: missing.length === 0 ? `${traces.length} places` : `not in ${missing.join(', ')}` };
      },
    },
    {
      says: `${own} has the policy of clients`,
      look: async () => {
        const hosts = await hostsWhoseRulesName(lab, [clients.id]);
        return { holds: hosts.includes(own), seen: hosts.includes(own) ? 'yes' : `only ${hosts.join(', ')}` };
      },
    },
  );
  await telling.step('its tap is unplugged, its port deleted in Neutron', () => client2.remove());
  const since = stopwatch();
  const gone = (says: string, left: () => Promise<readonly string[]>): Claim => ({
    says,
    look: async () => {
      let last: readonly string[] = [];
      const none = async (): Promise<true | undefined> => {
        last = await left();
        return last.length === 0 || undefined;
      };
      await lab.processes.until(says, none).catch(() => lab.processes.signal.throwIfAborted());
      return { holds: last.length === 0, seen: last.length === 0 ? since() : `left: ${last.join('; ')}` };
    },
  });
  const policyLeft = async (): Promise<string[]> => (await hostsWhoseRulesName(lab, [clients.id])).filter((name) => name === own);
  await telling.check(
    gone(`nothing of it is left in ${places.join(', ')}`, () => tracesOf(lab, client2)),
    gone(`nothing of the policy of clients on ${own}, which has no other VM`, policyLeft),
  );
  await telling.check(pings(lab, client1, web1, 'as before'));
}

type Family = 4 | 6;
const families = [4, 6] as const satisfies Family[];

function addressOf(vm: Vm, family: Family): string {
  const address = family === 4 ? vm.address4 : vm.address6;
  if (address === undefined) throw new Error(`${vm.facts.name} has no IPv${family} address`);
  return address;
}

/** A claim that has to hold in both families. It shows what was seen in each when that differs. */
const inBothFamilies = (says: string, look: (family: Family) => Promise<{ readonly holds: boolean; readonly seen: string }>): Claim => ({
  says,
  look: async () => {
    const [v4, v6] = await Promise.all([look(4), look(6)]);
    return { holds: v4.holds && v6.holds, seen: v4.seen === v6.seen ? v4.seen : `IPv4 ${v4.seen}, IPv6 ${v6.seen}` };
  },
});

const pings = (lab: Lab, from: Vm, to: Vm, how: string): Claim =>
  inBothFamilies(`${from.facts.name} pings ${to.facts.name}, ${how}`, async (family) => {
    const { sent, received, averageMs } = await ping(lab, from, addressOf(to, family), { timeoutMs: 5_000 });
    return { holds: received === sent, seen: received === sent ? `${averageMs?.toFixed(2)} ms` : `${received} of ${sent} answered` };
  });

const notPinged = (lab: Lab, from: Vm, to: Vm, why: string): Claim =>
  inBothFamilies(`${from.facts.name} does not ping ${to.facts.name}: ${why}`, async (family) => {
    const { sent, received } = await ping(lab, from, addressOf(to, family), { count: 2 });
    return { holds: received === 0, seen: received === 0 ? 'dropped' : `${received} of ${sent} answered` };
  });

const reaches = (lab: Lab, from: Vm, to: Vm, port: number, wanted: Reach): Claim =>
  inBothFamilies(`${from.facts.name} ${wanted === 'answered' ? 'reaches' : 'does not reach'} TCP port ${port} of ${to.facts.name}`, async (family) => {
    // TCP repeats a lost first packet after a second, so an answer is waited for longer. Silence has to last for a fixed time.
    const came = await reach(lab, from, 'tcp', addressOf(to, family), port, { timeoutMs: wanted === 'silence' ? 1000 : 5000 });
    return { holds: came === wanted, seen: came === 'silence' ? 'dropped' : came };
  });

function stopwatch(): () => string {
  const beginMs = performance.now();
  return () => `${((performance.now() - beginMs) / 1000).toFixed(2)} s later`;
}

type Command = { readonly typed: string; readonly says: string; readonly times: number; readonly word: string };

/** Runs commands of the real command-line client and shows their output. Each claim holds when the output has the word exactly that often. */
async function typeCommands(lab: Lab, telling: Telling, ...commands: readonly Command[]): Promise<void> {
  const printed = await Promise.all(commands.map(({ typed }) => lab.openstack.cli(...typed.split(' ').slice(1))));
  for (const [index, { typed, says, times, word }] of commands.entries()) {
    const text = printed[index] ?? '';
    telling.command(typed, text);
    if (text.split(word).length - 1 !== times) throw new ClaimFailed(says, text);
  }
}
