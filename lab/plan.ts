// Names and addresses of a lab: a router, and on a link of its own each, a control machine (number 0) and the compute hosts (1, 2, …). Pure.
import { LabError } from './errors.ts';

/** Something with its own network namespace. `name` is what people call it, and its folder in the lab's directory. */
export type Machine = { readonly name: string; readonly namespace: string };

/** A routed point-to-point link between the router and one machine. The machine's end is called `fabric`. */
export type Link = {
  readonly routerInterface: string;
  readonly router4: string;
  readonly machine4: string;
  readonly router6: string;
  readonly machine6: string;
};

export type Joined = Machine & { readonly number: number; readonly link: Link };

/** `asNumber`: each host's own, as with BGP to a top-of-rack router (one AS for all would make each drop the others' routes as its own). */
export type Host = Joined & { readonly asNumber: number };

export type Plan = {
  readonly prefix: string;
  readonly router: Machine & { readonly asNumber: number; readonly routerId: string };
  readonly control: Joined;
  readonly hosts: readonly Host[];
};

export const fabricInterface = 'fabric';
export const link4Bits = 30;
export const link6Bits = 64;
/** Fits the third byte of an address, and a link's number in an IPv6 group as it is written. */
export const mostHosts = 250;

const routerAsNumber = 64500;

/** A prefix has no dash: so no lab's namespaces can be mistaken for those of one whose prefix begins the same way. */
const prefixForm = /^[a-z][a-z0-9]{0,19}$/;

/** The namespaces that a lab of this prefix may have made, and no other's. */
export const isNamespaceOf = (prefix: string, namespace: string): boolean =>
  namespace.startsWith(`${prefix}-`) && /^(control|router|host-\d+|vm-[a-z0-9-]+)$/.test(namespace.slice(prefix.length + 1));

export function checkPrefix(prefix: string): string {
  if (!prefixForm.test(prefix)) {
    throw new LabError('BAD_OPTION', `a lab cannot be called ${JSON.stringify(prefix)}: use a small letter, then up to 19 small letters and digits`);
  }
  return prefix;
}

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

/** A VM's name becomes a namespace and a hostname. */
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
