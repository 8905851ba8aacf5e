// The names and addresses of a lab. Each machine has a link of its own to the router: the control machine (number 0) and the compute hosts (1, 2, …). Pure.
import { LabError } from './errors.ts';

/** A machine with its own network namespace. `name` is its name for people, and its folder in the lab's directory. */
export type Machine = { readonly name: string; readonly namespace: string };

/** A routed point-to-point link between the router and one machine. The machine's end is called `fabric`. */
export type Link = {
  readonly routerInterface: string;
  readonly router4: string;
  readonly machine4: string;
  readonly router6: string;
  readonly machine6: string;
};

/** A machine with a link to the router. */
export type Joined = Machine & { readonly number: number; readonly link: Link };

/** A compute host. Each has an AS number of its own, as with BGP to a top-of-rack router: with one AS for all, each host would drop the others' routes as its own. */
export type Host = Joined & { readonly asNumber: number };

/** All machines of a lab. */
export type Plan = {
  readonly prefix: string;
  readonly router: Machine & { readonly asNumber: number; readonly routerId: string };
  readonly control: Joined;
  readonly hosts: readonly Host[];
};

/** The name of a machine's interface to the router. */
export const fabricInterface = 'fabric';
/** The prefix length of a link's IPv4 subnet. */
export const link4Bits = 30;
/** The prefix length of a link's IPv6 subnet. */
export const link6Bits = 64;
/** The greatest number of hosts: the number of a link must fit into the third byte of an IPv4 address. */
export const mostHosts = 250;

const routerAsNumber = 64500;

/** A prefix has no dash, so no lab's namespaces can be mistaken for those of a lab whose prefix begins with the same letters. */
const prefixForm = /^[a-z][a-z0-9]{0,19}$/;

/** Whether a namespace can only belong to the lab with this prefix. */
export const isNamespaceOf = (prefix: string, namespace: string): boolean =>
  namespace.startsWith(`${prefix}-`) && /^(control|router|host-\d+|vm-[a-z0-9-]+)$/.test(namespace.slice(prefix.length + 1));

/** Returns the prefix. BAD_OPTION when it cannot be one. */
export function checkPrefix(prefix: string): string {
  if (!prefixForm.test(prefix)) {
    throw new LabError('BAD_OPTION', `a lab cannot be called ${JSON.stringify(prefix)}: use a small letter, then up to 19 small letters and digits`);
  }
  return prefix;
}

/** The plan of a lab. BAD_OPTION for an impossible prefix or number of hosts. */
export function makePlan(prefix: string, hosts: number): Plan {
  checkPrefix(prefix);
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > mostHosts) {
    throw new LabError('BAD_OPTION', `a lab cannot have ${hosts} compute hosts: from 1 to ${mostHosts}`);
  }
  const joined = (name: string, number: number): Joined => ({ name, namespace: `${prefix}-${name}`, number, link: makeLink(name, number) });
  return {
    prefix,
    router: { name: 'router', namespace: `${prefix}-router`, asNumber: routerAsNumber, routerId: '172.16.0.1' },
    control: joined('control', 0),
    hosts: Array.from({ length: hosts }, (_, index) => ({ ...joined(`host-${index + 1}`, index + 1), asNumber: routerAsNumber + index + 1 })),
  };
}

/** The machine of a VM: its name becomes a namespace and a hostname. BAD_OPTION when it cannot. */
export function vmMachine(prefix: string, name: string): Machine {
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) {
    throw new LabError('BAD_OPTION', `a VM cannot be called ${JSON.stringify(name)}: use up to 32 small letters, digits and dashes`);
  }
  return { name: `vm-${name}`, namespace: `${prefix}-vm-${name}` };
}

function makeLink(name: string, number: number): Link {
  return {
    routerInterface: `to-${name}`,
    router4: `172.16.${number}.1`,
    machine4: `172.16.${number}.2`,
    router6: `fd00:16:${number}::1`,
    machine6: `fd00:16:${number}::2`,
  };
}
