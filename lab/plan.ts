// Computes the names and addresses of a lab. Each machine has a link of its own to a router: the control machine (number 0) and the compute hosts (1, 2, …). Pure.
import { LabError } from './errors.ts';

/** A machine with its own network namespace. `name` is its name for people, and its folder in the lab's directory. */
export type Machine = { readonly name: string; readonly namespace: string };

/** How hosts are joined, and who speaks BGP with whom. */
export const topologies = ['router', 'mesh', 'reflectors', 'racks'] as const;
/** One of `topologies`. */
export type Topology = (typeof topologies)[number];

/** Between a router and one machine: a routed link of their own, or in a mesh and with reflectors the one network that all machines are on. The machine's end is called `fabric`. */
export type Link = {
  /** The router's end; on the one network a port of its bridge, which has the router's addresses. */
  readonly routerInterface: string;
  readonly router4: string;
  readonly machine4: string;
  readonly bits4: 24 | 30;
  readonly router6: string;
  readonly machine6: string;
};

/** A machine with a link to the router. */
export type Joined = Machine & { readonly number: number; readonly link: Link };

/** A router that speaks BGP. */
export type Router = Machine & { readonly asNumber: number; readonly routerId: string };

/** The router of a rack. It is joined to the router that all racks share. */
export type Rack = Router & Joined;

/**
 * A compute host. Each has an AS number of its own, as with BGP to a top-of-rack router: with one AS for all, each host would drop the others' routes as its own. Without
 * such a router all hosts are in one AS. `router`: the other end of the host's link.
 */
export type Host = Joined & { readonly asNumber: number; readonly router: Router };

/** All machines of a lab. */
export type Plan = {
  readonly prefix: string;
  readonly topology: Topology;
  readonly router: Router;
  /** The routers of the racks; empty except in the topology `racks`. */
  readonly racks: readonly Rack[];
  readonly control: Joined;
  readonly hosts: readonly Host[];
};

/** The name of a machine's interface to the router. */
export const fabricInterface = 'fabric';
/** The prefix length of a link's IPv6 subnet. */
export const link6Bits = 64;
/** The greatest number of hosts: the number of a link must fit into the third byte of an IPv4 address. */
export const mostHosts = 250;

const routerAsNumber = 64500;
/** The AS number that all hosts share in topologies without routers: Calico's default. */
const meshAsNumber = 64512;
const rackCount = 2;

/** Whether all machines are on one network. Hosts that have BGP sessions with one another need that, because they are each other's next hops, and no router between them knows the VMs' routes. */
export const isOneNetwork = (topology: Topology): boolean => topology === 'mesh' || topology === 'reflectors';

/** The route reflectors among the hosts, in the topology that has some: two, so that one may fail; one when there are only two hosts. */
export const reflectorsOf = ({ topology, hosts }: Plan): readonly Host[] => (topology === 'reflectors' ? hosts.slice(0, hosts.length > 2 ? 2 : 1) : []);

/** A prefix has no dash, so no lab's namespaces can be mistaken for those of a lab whose prefix begins with the same letters. */
const prefixForm = /^[a-z][a-z0-9]{0,19}$/;

/** Whether a namespace can only belong to the lab with this prefix. */
export const isNamespaceOf = (prefix: string, namespace: string): boolean =>
  namespace.startsWith(`${prefix}-`) && /^(control|router|rack-\d+|host-\d+|vm-[a-z0-9-]+)$/.test(namespace.slice(prefix.length + 1));

/** Returns the prefix. BAD_OPTION when it cannot be one. */
export function checkPrefix(prefix: string): string {
  if (!prefixForm.test(prefix)) {
    throw new LabError('BAD_OPTION', `a lab cannot be called ${JSON.stringify(prefix)}: use a small letter, then up to 19 small letters and digits`);
  }
  return prefix;
}

/** The plan of a lab. BAD_OPTION for an impossible prefix or number of hosts. */
export function makePlan(prefix: string, hosts: number, topology: Topology = 'router'): Plan {
  checkPrefix(prefix);
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > mostHosts) {
    throw new LabError('BAD_OPTION', `a lab cannot have ${hosts} compute hosts: from 1 to ${mostHosts}`);
  }
  const shared = isOneNetwork(topology);
  const machine = (name: string): Machine => ({ name, namespace: `${prefix}-${name}` });
  const joined = (name: string, number: number): Joined => ({
    ...machine(name),
    number,
    link: shared ? sharedLink(name, number) : makeLink(name, `16.${number}`),
  });
  const router = { ...machine('router'), asNumber: routerAsNumber, routerId: '172.16.0.1' };
  const racks = Array.from({ length: topology === 'racks' ? rackCount : 0 }, (_, index): Rack => {
    const number = index + 1;
    const link = makeLink(`rack-${number}`, `17.${number}`);
    return { ...machine(`rack-${number}`), number, link, asNumber: 65000 + number, routerId: link.machine4 };
  });
  return {
    prefix,
    topology,
    router,
    racks,
    control: joined('control', 0),
    hosts: Array.from({ length: hosts }, (_, index) => ({
      ...joined(`host-${index + 1}`, index + 1),
      asNumber: shared ? meshAsNumber : routerAsNumber + index + 1,
      router: racks[index % rackCount] ?? router,
    })),
  };
}

/** The machine of a VM: its name becomes a namespace and a hostname. BAD_OPTION when it cannot. */
export function vmMachine(prefix: string, name: string): Machine {
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) {
    throw new LabError('BAD_OPTION', `a VM cannot be called ${JSON.stringify(name)}: use up to 32 small letters, digits and dashes`);
  }
  return { name: `vm-${name}`, namespace: `${prefix}-vm-${name}` };
}

/** @param network the middle of its addresses: `16.3` is 172.16.3.0/30 and fd00:16:3::/64 */
function makeLink(name: string, network: string): Link {
  return {
    routerInterface: `to-${name}`,
    router4: `172.${network}.1`,
    machine4: `172.${network}.2`,
    bits4: 30,
    router6: `fd00:${network.replace('.', ':')}::1`,
    machine6: `fd00:${network.replace('.', ':')}::2`,
  };
}

/** The router is number 1, the control machine 2, and so on. */
function sharedLink(name: string, number: number): Link {
  return {
    routerInterface: `to-${name}`,
    router4: '172.16.0.1',
    machine4: `172.16.0.${number + 2}`,
    bits4: 24,
    router6: 'fd00:16:0::1',
    machine6: `fd00:16:0::${number + 2}`,
  };
}
