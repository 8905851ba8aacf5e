// The network of a lab: a namespace for the router, the control machine and each compute host, and a routed link from the router to each machine.
import { addNamespace, ip, sysctl } from './namespace.ts';
import { fabricInterface, type Joined, link4Bits, link6Bits, type Plan } from './plan.ts';
import type { Processes } from './process.ts';

/**
 * Creates the namespaces and links. Every machine reaches every other through the router's connected routes, so etcd and Neutron are reachable independently of BGP.
 * Forwarding on the compute hosts is left to Felix, whose job it is.
 */
export async function layGround(processes: Processes, plan: Plan): Promise<void> {
  const machines = [plan.control, ...plan.hosts];
  await Promise.all([plan.router, ...machines].map((machine) => addNamespace(processes, machine)));
  await sysctl(processes, plan.router, {
    'net.ipv4.ip_forward': 1,
    'net.ipv6.conf.all.forwarding': 1,
    'net.ipv6.conf.default.accept_dad': 0, // duplicate addresses are impossible on these links, and detection takes a second or two
  });
  await ip(processes, plan.router, ['link set lo up', ...machines.flatMap((machine) => routerCommands(machine))]);
  await Promise.all(
    machines.map(async (machine) => {
      await sysctl(processes, machine, { [`net.ipv6.conf.${fabricInterface}.accept_dad`]: 0, [`net.ipv6.conf.${fabricInterface}.accept_ra`]: 0 });
      await ip(processes, machine, machineCommands(machine));
    }),
  );
}

const routerCommands = ({ namespace, link }: Joined): string[] => [
  `link add ${link.routerInterface} type veth peer name ${fabricInterface} netns ${namespace}`,
  `addr add ${link.router4}/${link4Bits} dev ${link.routerInterface}`,
  `addr add ${link.router6}/${link6Bits} dev ${link.routerInterface}`,
  `link set ${link.routerInterface} up`,
];

const machineCommands = ({ link }: Joined): string[] => [
  'link set lo up',
  `addr add ${link.machine4}/${link4Bits} dev ${fabricInterface}`,
  `addr add ${link.machine6}/${link6Bits} dev ${fabricInterface}`,
  `link set ${fabricInterface} up`,
  `route add default via ${link.router4}`,
  `route add ::/0 via ${link.router6}`,
];
