// Reads the present state of a lab from the kernel and from BIRD, for `status` and for the picture.

import { memoryOf as memoryOfProcess } from '@calico-openstack/kernel/processes/processes';
import { processesOf } from './down.ts';
import type { ComputeHost } from './host.ts';
import type { Lab } from './lab.ts';
import { ipJson } from './namespace.ts';
import { type Machine, vmMachine } from './plan.ts';
import type { Service } from './process.ts';
import { guestInterface, plugged, type VmFacts } from './vm.ts';

/** A route as it is shown. */
export type Route = { readonly destination: string; readonly via: string };
/** A VM as it is shown. */
export type SceneVm = { readonly name: string; readonly tap: string; readonly addresses: readonly string[] };
/** A compute host as it is shown. */
export type SceneHost = {
  readonly name: string;
  readonly address: string;
  readonly asNumber: number;
  /** The state of its BGP sessions, as its BIRD sees them: one word when they agree. */
  readonly bgp: string;
  readonly services: readonly SceneService[];
  readonly vms: readonly SceneVm[];
  /** Its routes to VMs on this host and on others. */
  readonly routes: readonly Route[];
};
/** A service as it is shown. */
export type SceneService = { readonly name: string; readonly running: boolean };
/** The state of a lab. */
export type Scene = {
  readonly prefix: string;
  readonly control: { readonly name: string; readonly address: string; readonly services: readonly SceneService[] };
  readonly router: { readonly name: string; readonly asNumber: number; readonly routes: readonly Route[] };
  readonly hosts: readonly SceneHost[];
};

/** Reads the state of a lab. */
export async function look(lab: Lab): Promise<Scene> {
  const { plan, router, etcd, mariadb, keystone, neutron, driver, hosts } = lab;
  const vms = plugged(lab);
  return {
    prefix: plan.prefix,
    control: { name: plan.control.name, address: plan.control.link.machine4, services: seenServices([etcd, mariadb, keystone, neutron, driver]) },
    router: { name: router.name, asNumber: router.asNumber, routes: await routesOf(lab, router) },
    hosts: await Promise.all(
      hosts.map(async (host) =>
        lookAtHost(
          lab,
          host,
          await sessionsOf(host),
          vms.filter((vm) => vm.host === host.name),
        ),
      ),
    ),
  };
}

/** The states of a host's sessions as one word; `Down` for a BIRD that does not run or has no session. */
async function sessionsOf({ bird }: ComputeHost): Promise<string> {
  const states = bird.pid() === undefined ? [] : [...(await bird.sessions()).values()];
  return states.length === 0 ? 'Down' : [...new Set(states)].join('/');
}

/** The memory of all processes of the lab in bytes. Memory that several share counts once. */
export const memoryOf = (prefix: string): number => processesOf(prefix).reduce((sum, { pid }) => sum + memoryOfProcess(pid).proportionalBytes, 0);

async function lookAtHost(lab: Lab, host: ComputeHost, bgp: string, vms: readonly VmFacts[]): Promise<SceneHost> {
  return {
    name: host.name,
    address: host.link.machine4,
    asNumber: host.asNumber,
    bgp,
    services: seenServices([host.bird, host.felix, host.dhcpAgent, host.birdAgent]),
    vms: await Promise.all(vms.map(async (vm) => ({ name: vm.name, tap: vm.tap, addresses: await addressesOf(lab, vm) }))),
    routes: await routesOf(lab, host),
  };
}

const seenServices = (services: readonly (Service | undefined)[]): SceneService[] =>
  services.flatMap((service) => (service === undefined ? [] : [{ name: service.name.split('/')[1] ?? service.name, running: service.pid() !== undefined }]));

type KernelRoute = { readonly dst: string; readonly dev?: string; readonly gateway?: string; readonly via?: { readonly host: string } };
/** An entry of `ip -json address`. With a filter, `ip` prints empty entries for the interfaces that it leaves out. */
type KernelAddress = { readonly addr_info?: readonly { readonly local?: string }[] };

/** The routes to single addresses, which lead to a VM's tap or to another machine. */
async function routesOf(lab: Lab, machine: Machine): Promise<Route[]> {
  const shown = await Promise.all(['-4', '-6'].map((family) => ipJson(lab.processes, machine, family, 'route', 'show')));
  const neighbours = new Map(
    [lab.plan.control, ...lab.plan.hosts].flatMap(({ name, link }) => [link.machine4, link.machine6].map((address) => [address, name] as const)),
  );
  const routers = new Set(lab.plan.hosts.flatMap(({ link }) => [link.router4, link.router6]));
  return (shown.flat() as KernelRoute[]).flatMap(({ dst, dev = '', gateway, via }) => {
    if (dst.includes('/') || dst === 'default') return [];
    const next = gateway ?? via?.host;
    if (next === undefined) return dev.startsWith('tap') ? [{ destination: dst, via: dev }] : [];
    return [{ destination: dst, via: routers.has(next) ? 'router' : (neighbours.get(next) ?? next) }];
  });
}

/** The addresses that the guest has configured; for an emulated machine, those of its port, because its inside cannot be read. */
async function addressesOf(lab: Lab, { name, kind, addresses }: VmFacts): Promise<readonly string[]> {
  if (kind === 'machine') return addresses;
  const shown = (await ipJson(lab.processes, vmMachine(lab.plan.prefix, name), 'addr', 'show', 'dev', guestInterface, 'scope', 'global')) as KernelAddress[];
  return shown.flatMap(({ addr_info = [] }) => addr_info.flatMap(({ local }) => local ?? []));
}
