import type { Cidr, IpAddress, WorkloadId } from '@calico-openstack/datamodel';
import { deviceRoute, neighbourProgrammer, ownsNeighbours, ownsRoutes, routeProgrammer } from '@calico-openstack/kernel';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { fakeNeighbours } from '@calico-openstack/kernel/neighbours/fake';
import { fakeRoutes } from '@calico-openstack/kernel/routes/fake';
import type { WorkloadDevice } from '@calico-openstack/render';
import { describe, expect, test } from 'vitest';
import { createDevices, type DeviceSettings } from './devices.ts';

const settings: DeviceSettings = { routeProtocol: 3, metric: { 4: 1024, 6: 1024 }, ipv6: true, rpFilter: '1' };
const id = (name: string): WorkloadId => name as WorkloadId;

function device(name: string, ...addresses: string[]): WorkloadDevice {
  const routes = addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}` as Cidr);
  return {
    interfaceName: name,
    workload: id(name),
    routes,
    neighbours: addresses.map((address) => ({ address: address as IpAddress, mac: 'fa:16:3e:00:00:01' })),
    proxyNeighbours: [],
    spoofing: false,
  };
}

function world() {
  const links = fakeLinks();
  const [kernelRoutes, kernelNeighbours] = [fakeRoutes(links.kernel), fakeNeighbours(links.kernel)];
  const sysctls = new Map<string, string>();
  const absent = new Set<string>();
  const devicePrefixes = ['tap'];
  const table = kernelRoutes.open();
  const devices = createDevices(
    {
      links,
      routes: routeProgrammer({ table, devices: links, owns: ownsRoutes({ devicePrefixes }) }),
      neighbours: neighbourProgrammer({ table: kernelNeighbours.open(), devices: links, owns: ownsNeighbours({ devicePrefixes }) }),
      writeSysctl(path, value) {
        if (absent.has(path.at(-1)!)) return 'absent';
        sysctls.set(path.join('/'), String(value));
        return 'written';
      },
      routesOfEarlierRun: () => table.read(),
    },
    settings,
  );
  links.watch(({ links: names }) => devices.linksChanged(names));
  return {
    links,
    devices,
    sysctls,
    absent,
    routes: () => kernelRoutes.routes.map(({ destination, deviceIndex }) => `${destination} ${links.nameOf(deviceIndex!)}`).sort(),
    /** What somebody programmed before. */
    leave(address: string, deviceIndex: number): void {
      const { device: _, ...route } = deviceRoute({ destination: `${address}/32`, device: '', metric: 1024, protocol: 3 });
      kernelRoutes.open().commit([{ verb: 'create', object: { ...route, deviceIndex } }]);
    },
    /** A link that runs; resolves when it is known. */
    async plug(name: string): Promise<number> {
      const index = links.kernel.add(name, { up: true, running: true, mac: 'fe:16:3e:00:00:01' });
      await Promise.resolve();
      return index;
    },
    say: (...changes: (readonly [string, WorkloadDevice | undefined])[]) => {
      devices.update(new Map(changes.map(([name, wanted]) => [id(name), wanted])));
      return devices.apply();
    },
  };
}

const statuses = (report: ReturnType<ReturnType<typeof world>['say']>): Record<string, string> =>
  Object.fromEntries([...report.changed].map(([workload, { status }]) => [workload, status]));

describe('an interface', () => {
  test('that is there gets routes, neighbours and sysctls, and its endpoint is up', async () => {
    const { plug, say, routes, sysctls } = world();
    await plug('tap1');
    const report = say(['a', device('tap1', '10.0.0.1', 'fd00::1')]);
    expect(statuses(report)).toEqual({ a: 'up' });
    expect(routes()).toEqual(['10.0.0.1/32 tap1', 'fd00::1/128 tap1']);
    expect(sysctls.get('net/ipv4/conf/tap1/proxy_arp')).toBe('1');
    expect(sysctls.get('net/ipv4/conf/tap1/rp_filter')).toBe('1');
  });
  test('that comes later is programmed when it comes, and again when it comes again', async () => {
    const { plug, say, devices, routes, links } = world();
    expect(statuses(say(['a', device('tap1', '10.0.0.1')]))).toEqual({ a: 'down' });
    const index = await plug('tap1');
    expect(statuses(devices.apply())).toEqual({ a: 'up' });
    links.kernel.remove(index);
    await Promise.resolve();
    expect(statuses(devices.apply())).toEqual({ a: 'down' });
    await plug('tap1');
    expect(statuses(devices.apply())).toEqual({ a: 'up' });
    expect(routes()).toEqual(['10.0.0.1/32 tap1']);
  });
  test('whose setting cannot be written makes the status error until it can', async () => {
    const { plug, say, devices, absent } = world();
    await plug('tap1');
    absent.add('proxy_arp');
    const report = say(['a', device('tap1', '10.0.0.1')]);
    expect(report.changed.get(id('a'))).toEqual({ status: 'error', reason: 'cannot write net/ipv4/conf/tap1/proxy_arp' });
    expect(report.retry).toBe(true);
    absent.clear();
    expect(statuses(devices.apply())).toEqual({ a: 'up' });
  });
  test('that is told nothing new is not told again', async () => {
    const { plug, say, devices } = world();
    await plug('tap1');
    say(['a', device('tap1', '10.0.0.1')]);
    expect(devices.dirty).toBe(false);
    expect(devices.apply()).toMatchObject({ changed: new Map(), left: [], retry: false });
  });
});

describe('an address that no longer leads where it led is told', () => {
  test('when its endpoint goes, and when it moves to another interface; not when it stays', async () => {
    const { plug, say, routes } = world();
    await plug('tap1');
    await plug('tap2');
    expect(say(['a', device('tap1', '10.0.0.1', '10.0.0.2')], ['b', device('tap2', '10.0.0.3')]).left).toEqual([]);
    expect(say(['a', device('tap1', '10.0.0.1')], ['b', device('tap2', '10.0.0.2', '10.0.0.3')]).left).toEqual(['10.0.0.2']);
    expect(routes()).toEqual(['10.0.0.1/32 tap1', '10.0.0.2/32 tap2', '10.0.0.3/32 tap2']);
    expect(say(['a', undefined]).left).toEqual(['10.0.0.1']);
    expect(say(['b', device('tap2', '10.0.0.2', '10.0.0.3')]).left).toEqual([]);
  });
  test('also what an earlier run has left, and is not wanted any more', async () => {
    const { plug, say, leave, routes } = world();
    leave('10.0.0.9', await plug('tap1'));
    expect(say(['a', device('tap1', '10.0.0.1')]).left).toEqual(['10.0.0.9']);
    expect(routes()).toEqual(['10.0.0.1/32 tap1']);
  });
});

test('other settings move every route to its new metric', async () => {
  const { plug, say, devices, routes } = world();
  await plug('tap1');
  say(['a', device('tap1', '10.0.0.1', 'fd00::1')]);
  devices.setSettings({ ...settings, ipv6: false });
  expect(devices.apply().left).toEqual([]);
  expect(routes()).toEqual(['10.0.0.1/32 tap1']);
});
