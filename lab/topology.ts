// Creates the network of a lab: a namespace for each router, the control machine and each compute host, and the links between them.
import { addNamespace, ip, sysctl } from './namespace.ts';
import { fabricInterface, isOneNetwork, type Joined, link6Bits, type Machine, type Plan } from './plan.ts';
import type { Processes } from './process.ts';

/**
 * Creates the namespaces and links. Every machine reaches every other by the routers' connected and static routes, so etcd and Neutron are reachable independently of BGP.
 * Forwarding on the compute hosts is left to Felix, whose job it is.
 */
export async function layGround(processes: Processes, plan: Plan): Promise<void> {
  const { control, hosts, racks, router, topology } = plan;
  const machines = [control, ...hosts, ...racks];
  await Promise.all([router, ...machines].map((machine) => addNamespace(processes, machine)));
  const join = isOneNetwork(topology) ? bridged : routed;
  for (const each of [router, ...racks]) {
    await sysctl(processes, each, {
      'net.ipv4.ip_forward': 1,
      'net.ipv6.conf.all.forwarding': 1,
      'net.ipv6.conf.default.accept_dad': 0, // duplicate addresses are impossible on these links, and detection takes a second or two
    });
    await ip(processes, each, ['link set lo up', ...join(machines.filter((machine) => routerOf(plan, machine).name === each.name))]);
  }
  await Promise.all(
    machines.map(async (machine) => {
      await sysctl(processes, machine, { [`net.ipv6.conf.${fabricInterface}.accept_dad`]: 0, [`net.ipv6.conf.${fabricInterface}.accept_ra`]: 0 });
      await ip(processes, machine, machineCommands(machine));
    }),
  );
  // From the router the hosts of a rack lie behind its own router.
  const behind = hosts.filter((host) => host.router.name !== router.name);
  const rackOf = (name: string) => racks.find((rack) => rack.name === name)!;
  await ip(
    processes,
    router,
    behind.flatMap(({ link, router: { name } }) => [
      `route add ${link.machine4}/32 via ${rackOf(name).link.machine4}`,
      `route add ${link.machine6}/128 via ${rackOf(name).link.machine6}`,
    ]),
  );
}

const routerOf = ({ router, hosts }: Plan, { name }: Machine): Machine => hosts.find((host) => host.name === name)?.router ?? router;

const routed = (machines: readonly Joined[]): string[] =>
  machines.flatMap(({ namespace, link }) => [
    `link add ${link.routerInterface} type veth peer name ${fabricInterface} netns ${namespace}`,
    `addr add ${link.router4}/${link.bits4} dev ${link.routerInterface}`,
    `addr add ${link.router6}/${link6Bits} dev ${link.routerInterface}`,
    `link set ${link.routerInterface} up`,
  ]);

const bridge = 'network';

const bridged = (machines: readonly Joined[]): string[] => [
  `link add ${bridge} type bridge`,
  ...machines
    .slice(0, 1)
    .flatMap(({ link }) => [`addr add ${link.router4}/${link.bits4} dev ${bridge}`, `addr add ${link.router6}/${link6Bits} dev ${bridge}`]),
  `link set ${bridge} up`,
  ...machines.flatMap(({ namespace, link }) => [
    `link add ${link.routerInterface} type veth peer name ${fabricInterface} netns ${namespace}`,
    `link set ${link.routerInterface} master ${bridge} up`,
  ]),
];

const machineCommands = ({ link }: Joined): string[] => [
  'link set lo up',
  `addr add ${link.machine4}/${link.bits4} dev ${fabricInterface}`,
  `addr add ${link.machine6}/${link6Bits} dev ${fabricInterface}`,
  `link set ${fabricInterface} up`,
  `route add default via ${link.router4}`,
  `route add ::/0 via ${link.router6}`,
];
