// A world for live migrations, for the test and the bench: hosts `a` and `b` between which a VM moves, a third host, a router that has learnt the routes by BGP, and a guest on host `a`.
import { resourceRoot } from '@calico-openstack/datamodel';
import { type Felix, type Guest, plugGuest, startFelix } from './guests.ts';
import { createMovingGuest, type MovingGuest } from './moving-guest.ts';
import { openWorld, routerAs, routerConfiguration, startBirdIn, type TestHost, until, type World } from './world.ts';

/** The world and its parts. */
export type MigrationWorld = {
  readonly world: World;
  readonly a: TestHost;
  readonly b: TestHost;
  readonly third: TestHost;
  /** The Felix of host `a`. */
  readonly felix: Felix;
  /** A guest on host `a`. */
  readonly beside: Guest;
  readonly vm: MovingGuest;
  /** The prefixes of the VM's addresses, IPv4 first. */
  readonly prefixes: readonly string[];
  /** The functions that `close` calls, the last one first. */
  readonly closing: (() => unknown)[];
  close(): Promise<void>;
};

/** How the hosts speak BGP: with each other and with the router, all in one AS; or with the router alone, each in an AS of its own. */
export type Fabric = 'mesh' | 'external';

/** The AS numbers of the hosts in a fabric of external BGP, by their place in the list. */
export const asOfHost = (number: number): number => 64601 + number;

/** Opens the world, with the VM running on host `a` and its routes known to all. Policy allows everything. */
export async function openMigrationWorld(fabric: Fabric = 'mesh'): Promise<MigrationWorld> {
  const world = await openWorld(3);
  const [a, b, third] = world.hosts as [TestHost, TestHost, TestHost];
  const closing: (() => unknown)[] = [() => world.close()];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    await startBirdIn(world.router.namespace, world.router.bird, routerConfiguration(world, '', fabric === 'external' ? asOfHost : undefined));
    if (fabric === 'external') await world.put('bgpconfigurations', 'default', { nodeToNodeMeshEnabled: false });
    for (const [number, { name: node, router4, router6 }] of world.hosts.entries())
      for (const [index, peerIP] of [router4, router6].entries()) await world.put('bgppeers', `tor-${number}-${index}`, { node, peerIP, asNumber: routerAs });
    const open = { types: ['Ingress', 'Egress'], ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] };
    const policy = JSON.stringify({ metadata: { name: 'default.open' }, spec: open });
    await world.etcdProcess.etcdctl('put', `${resourceRoot}globalnetworkpolicies/default.open`, policy);
    const soon = { FELIX_LIVEMIGRATIONROUTECONVERGENCETIME: '1', FELIX_ENDPOINTREPORTINGENABLED: 'true' };
    const felix = await startFelix(world, a, closing, soon);
    await startFelix(world, b, closing, soon);
    for (const [number, host] of world.hosts.entries()) host.startAgent(fabric === 'external' ? { AsNumber: String(asOfHost(number)) } : {});
    const beside = await plugGuest(world, a, 1, closing);
    await beside.put({});
    const vm = await createMovingGuest(world, closing);
    await vm.boot(a);
    const prefixes = [`${vm.address4}/32`, `${vm.address6}/128`];
    for (const place of [a, third, world.router])
      for (const prefix of prefixes)
        await until(`a route to ${prefix}`, async () => (await place.ip(...(prefix.includes(':') ? ['-6'] : []), 'route', 'show', prefix)) !== '' || undefined);
    return { world, a, b, third, felix, beside, vm, prefixes, closing, close };
  } catch (error) {
    await close();
    throw error;
  }
}
