import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import { blackholeMetric, type WorkloadId } from '@calico-openstack/datamodel';
import {
  blackholeRoute,
  createNeighbourProgrammer,
  createRouteProgrammer,
  createShaper,
  deviceRoute,
  ownsNeighbours,
  ownsRoutes,
} from '@calico-openstack/kernel';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { fakeNeighbours } from '@calico-openstack/kernel/neighbours/fake';
import { fakeQdiscs } from '@calico-openstack/kernel/qdiscs/fake';
import { bucketHandle } from '@calico-openstack/kernel/qdiscs/qdisc';
import { fakeRoutes } from '@calico-openstack/kernel/routes/fake';
import type { WorkloadDevice } from '@calico-openstack/render';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BandwidthLimits, ifbOf, shaperRights } from './devices/shaping.ts';
import { isOurBlackhole } from './devices/wanted.ts';
import { createDevices, type DeviceSettings, type DevicesReport } from './devices.ts';

const settings: DeviceSettings = {
  routeProtocol: 3,
  metric: { 4: 1024, 6: 1024 },
  elevatedMetric: { 4: 512, 6: 512 },
  convergenceMs: 30_000,
  ipv6: true,
  rpFilter: '1',
};
const id = (name: string): WorkloadId => name as WorkloadId;

function device(name: string, ...addresses: string[]): WorkloadDevice {
  const routes = addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}` as Cidr);
  return {
    interfaceName: name,
    workload: id(name),
    routes,
    neighbours: addresses.map((address) => ({ address: address as IpAddress, mac: 'fa:16:3e:00:00:01' })),
    proxyNeighbours: [],
    peeringAddresses: [],
    spoofing: false,
  };
}

function world(earlier: Readonly<Record<string, string>> = {}) {
  const links = fakeLinks();
  const time = { nowMs: 0 };
  const [kernelRoutes, kernelNeighbours] = [fakeRoutes(links.kernel), fakeNeighbours(links.kernel)];
  const sysctls = new Map<string, string>();
  const absent = new Set<string>();
  const devicePrefixes = ['tap'];
  const bgpInterfaces = new Set<string>();
  const qdiscs = fakeQdiscs(links.kernel);
  const drifts: string[] = [];
  const restored: string[] = [];
  const obstacles = new Map<string, string>();
  const table = kernelRoutes.open();
  const devices = createDevices(
    {
      links,
      routes: createRouteProgrammer({ table, devices: links, owns: (route, name) => isOurBlackhole(route, 3) || ownsRoutes({ devicePrefixes })(route, name) }),
      neighbours: createNeighbourProgrammer({ table: kernelNeighbours.open(), devices: links, owns: ownsNeighbours({ devicePrefixes }) }),
      writeSysctl(path, value) {
        if (absent.has(path.at(-1)!)) return 'absent';
        const before = sysctls.get(path.join('/'));
        sysctls.set(path.join('/'), String(value));
        return before === String(value) ? 'unchanged' : 'written';
      },
      readSysctl: () => '0',
      bgpInterfaces,
      limits: new BandwidthLimits(createShaper(qdiscs.open(), links, shaperRights), () => drifts.push('qdiscs')),
      obstacleOf: (name) => obstacles.get(name),
      onSysctlsRestored: (name, paths) => restored.push(`${name}: ${paths.join(' ')}`),
    },
    settings,
    { led: new Map(Object.entries(earlier).map(([address, name]) => [`${address}/32` as Cidr, name])), elevated: new Set() },
    { steadyMs: () => time.nowMs },
  );
  links.watch((change) => devices.linksChanged(change));
  return {
    links,
    devices,
    bgpInterfaces,
    qdiscs,
    drifts,
    restored,
    obstacles,
    sysctls,
    absent,
    time,
    kernelRoutes,
    routes: () => kernelRoutes.routes.map(({ destination, deviceIndex, type }) => `${destination} ${links.nameOf(deviceIndex!) ?? type}`).sort(),
    /** Programs what another run has left. */
    leave(address: string, deviceIndex: number): void {
      const { device: _, ...route } = deviceRoute({ destination: `${address}/32`, device: '', metric: 1024, protocol: 3 });
      kernelRoutes.open().commit([{ verb: 'create', object: { ...route, deviceIndex } }]);
    },
    /** Adds a link that is running. Resolves when it is known. */
    async plug(name: string): Promise<number> {
      const index = links.kernel.add(name, { up: true, running: true, mac: 'fe:16:3e:00:00:01' });
      await Promise.resolve();
      return index;
    },
    say: (...changes: (readonly [string, WorkloadDevice | undefined])[]) => {
      const left = devices.update(new Map(changes.map(([name, wanted]) => [id(name), wanted])));
      return { left, ...devices.apply() };
    },
  };
}

const statuses = (report: DevicesReport): Record<string, string> => Object.fromEntries([...report.changed].map(([workload, { status }]) => [workload, status]));

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
  test('whose endpoint asks for what it may not have is in error, with all the rest of it programmed, until it no longer asks', async () => {
    const { say, plug, routes } = world();
    await plug('tap1');
    const refused = { ...device('tap1', '10.65.0.4'), refused: '10.0.0.1 is an etcd endpoint' };
    expect([...say(['tap1', refused]).changed]).toEqual([['tap1', { status: 'error', reason: '10.0.0.1 is an etcd endpoint' }]]);
    expect(routes()).toEqual(['10.65.0.4/32 tap1']);
    expect([...say(['tap1', device('tap1', '10.65.0.4')]).changed]).toEqual([['tap1', { status: 'up' }]]);
  });
  test('that is told nothing new is not told again', async () => {
    const { plug, say, devices } = world();
    await plug('tap1');
    say(['a', device('tap1', '10.0.0.1')]);
    expect(devices.apply()).toMatchObject({ changed: new Map(), retry: false });
  });
});

describe('the host’s addresses for BGP with a workload', () => {
  const peer = (...peeringAddresses: string[]) => ({ ...device('tap1', '10.0.0.1'), peeringAddresses: peeringAddresses as IpAddress[] });
  const onTap = ({ links }: ReturnType<typeof world>) =>
    links
      .addresses('tap1')
      .map(({ address, prefixLength }) => `${address}/${prefixLength}`)
      .sort();

  test('are on its interface when that is there, and again when it comes again', async () => {
    const w = world();
    w.say(['a', peer('169.254.0.179', 'fd12::1')]);
    const index = await w.plug('tap1');
    expect(statuses(w.devices.apply())).toEqual({ a: 'up' });
    await Promise.resolve();
    expect(onTap(w)).toEqual(['169.254.0.179/32', 'fd12::1/128']);
    w.links.kernel.remove(index);
    await Promise.resolve();
    w.devices.apply();
    await w.plug('tap1');
    w.devices.apply();
    await Promise.resolve();
    expect(onTap(w)).toEqual(['169.254.0.179/32', 'fd12::1/128']);
  });
  test('go when they are not wanted any more, those of an earlier run too; the DHCP agent’s gateway and link-local addresses stay', async () => {
    const w = world();
    await w.plug('tap1');
    w.links.addAddress('tap1', '10.0.0.254', 32, { noPrefixRoute: true, scope: 253 });
    w.links.addAddress('tap1', 'fe80::1', 64);
    w.links.addAddress('tap1', '169.254.0.178', 32, { scope: 253 });
    await Promise.resolve();
    w.say(['a', peer('169.254.0.179')]);
    await Promise.resolve();
    expect(onTap(w)).toEqual(['10.0.0.254/32', '169.254.0.179/32', 'fe80::1/64']);
    w.say(['a', peer()]);
    await Promise.resolve();
    expect(onTap(w)).toEqual(['10.0.0.254/32', 'fe80::1/64']);
  });
  test('leave what BIRD programs on that interface to BIRD', async () => {
    const w = world();
    await w.plug('tap1');
    w.say(['a', peer('169.254.0.179')]);
    expect([...w.bgpInterfaces]).toEqual(['tap1']);
    w.say(['a', peer()]);
    expect([...w.bgpInterfaces]).toEqual([]);
  });
});

describe('a workload that leaves by live migration', () => {
  const [a, b] = [device('tap1', '10.0.0.1', 'fd00::1'), device('tap2', '10.0.0.1')];
  const leaving = (one: WorkloadDevice): WorkloadDevice => ({ ...one, liveMigrationRole: 'source' });
  const silent = ['10.0.0.1/32 blackhole', 'fd00::1/128 blackhole'];
  const routed = ['10.0.0.1/32 tap1', 'fd00::1/128 tap1'];

  test('has blackholes behind its routes, which stay when its tap goes, and for a while when its endpoint goes', async () => {
    const { plug, say, devices, links, routes, time } = world();
    const index = await plug('tap1');
    say(['a', a]);
    expect(statuses(say(['a', leaving({ ...a, routes: [...a.routes, '10.9.0.0/24' as Cidr] })]))).toEqual({});
    expect(routes()).toEqual(['10.0.0.1/32 blackhole', '10.0.0.1/32 tap1', '10.9.0.0/24 tap1', 'fd00::1/128 blackhole', 'fd00::1/128 tap1']);
    links.kernel.remove(index);
    await Promise.resolve();
    devices.apply();
    expect(routes()).toEqual(silent);
    expect(devices.restMs()).toBeUndefined();
    say(['a', undefined]);
    devices.release(['10.0.0.1', 'fd00::1'] as IpAddress[]);
    time.nowMs += 900;
    say();
    expect([routes(), devices.restMs()]).toEqual([silent, 100]);
    time.nowMs += 100;
    say();
    expect([routes(), devices.restMs()]).toEqual([[], undefined]);
  });
  test('has none when it stays after all, nor without IPv6 one of IPv6', async () => {
    const { plug, say, devices, routes } = world();
    await plug('tap1');
    say(['a', leaving(a)]);
    devices.setSettings({ ...settings, ipv6: false });
    devices.apply();
    expect(routes()).toEqual(['10.0.0.1/32 blackhole', '10.0.0.1/32 tap1']);
    devices.setSettings(settings);
    say(['a', a]);
    expect(routes()).toEqual(routed);
  });
  test('keeps its blackhole when another one that had it is long gone', async () => {
    const { plug, say, devices, routes, time } = world();
    for (const name of ['tap1', 'tap2']) await plug(name);
    say(['a', leaving(a)]);
    say(['a', undefined]);
    say(['b', leaving(b)]);
    devices.release(['10.0.0.1', 'fd00::1'] as IpAddress[]);
    time.nowMs += 1000;
    say();
    expect(routes()).toEqual(['10.0.0.1/32 blackhole', '10.0.0.1/32 tap2']);
  });
  test('leaves nothing behind over a crash: a blackhole of an earlier run goes, and an operator’s stays', async () => {
    const { say, kernelRoutes, routes } = world();
    const hole = (destination: string, metric: number) => ({ ...blackholeRoute({ destination, metric, protocol: 3 }) });
    for (const object of [hole('10.0.0.1/32', blackholeMetric), hole('10.0.0.2/32', 1024), hole('10.1.0.0/16', blackholeMetric)])
      kernelRoutes.open().commit([{ verb: 'create', object }]);
    say();
    expect(routes()).toEqual(['10.0.0.2/32 blackhole', '10.1.0.0/16 blackhole']);
  });
});

describe('an address that no longer leads where it led is told, and is not routed until its connections are cut', () => {
  const cut = (w: ReturnType<typeof world>, ...addresses: string[]) => {
    w.devices.release(addresses as IpAddress[]);
    return statuses(w.devices.apply());
  };
  test('when its endpoint goes', async () => {
    const w = world();
    await w.plug('tap1');
    expect(w.say(['a', device('tap1', '10.0.0.1')]).left).toEqual([]);
    expect(w.say(['a', undefined]).left).toEqual(['10.0.0.1']);
    expect(w.routes()).toEqual([]);
    w.say(['b', device('tap1', '10.0.0.1')]);
    expect(w.routes()).toEqual([]);
    expect(cut(w, '10.0.0.1')).toEqual({ b: 'up' });
    expect(w.routes()).toEqual(['10.0.0.1/32 tap1']);
  });
  test('while they cannot be cut, who has it now is told so', async () => {
    const w = world();
    await w.plug('tap1');
    w.say(['a', device('tap1', '10.0.0.1')]);
    w.say(['a', undefined]);
    w.say(['b', device('tap1', '10.0.0.1', '10.0.0.2')]);
    w.devices.hold(['10.0.0.1'] as IpAddress[], 'EBUSY');
    expect(w.devices.apply().changed.get(id('b'))).toEqual({ status: 'error', reason: 'no route to 10.0.0.1: EBUSY' });
    expect(w.devices.apply().changed).toEqual(new Map());
    expect(w.routes()).toEqual(['10.0.0.2/32 tap1']);
    expect(cut(w, '10.0.0.1')).toEqual({ b: 'up' });
    expect(w.routes().sort()).toEqual(['10.0.0.1/32 tap1', '10.0.0.2/32 tap1']);
  });
  test('when it moves to another endpoint, which is not up before', async () => {
    const w = world();
    await w.plug('tap1');
    await w.plug('tap2');
    w.say(['a', device('tap1', '10.0.0.1', '10.0.0.2')]);
    const report = w.say(['a', device('tap1', '10.0.0.1')], ['b', device('tap2', '10.0.0.2', '10.0.0.3')]);
    expect(report.left).toEqual(['10.0.0.2']);
    expect(statuses(report)).toEqual({});
    expect(w.routes()).toEqual(['10.0.0.1/32 tap1', '10.0.0.3/32 tap2']);
    expect(cut(w, '10.0.0.2')).toEqual({ b: 'up' });
    expect(w.routes()).toEqual(['10.0.0.1/32 tap1', '10.0.0.2/32 tap2', '10.0.0.3/32 tap2']);
  });
  test('when its endpoint moves to another interface', async () => {
    const w = world();
    await w.plug('tap1');
    await w.plug('tap2');
    w.say(['a', device('tap1', '10.0.0.1')]);
    expect(w.say(['a', device('tap2', '10.0.0.1')]).left).toEqual(['10.0.0.1']);
    expect(w.routes()).toEqual([]);
    cut(w, '10.0.0.1');
    expect(w.routes()).toEqual(['10.0.0.1/32 tap2']);
  });
  test('not when it stays', async () => {
    const { plug, say } = world();
    await plug('tap1');
    say(['a', device('tap1', '10.0.0.1')]);
    expect(say(['a', device('tap1', '10.0.0.1', '10.0.0.2')]).left).toEqual([]);
  });
  test('also from an earlier run: where it led to the same interface nothing happens, elsewhere, nowhere or half cut it has left', async () => {
    const w = world({ '10.0.0.1': 'tap1', '10.0.0.7': '', '10.0.0.8': 'tap1', '10.0.0.9': 'tap1' });
    const index = await w.plug('tap1');
    await w.plug('tap2');
    for (const address of ['10.0.0.1', '10.0.0.8', '10.0.0.9']) w.leave(address, index);
    expect(w.say(['a', device('tap1', '10.0.0.1', '10.0.0.7')], ['b', device('tap2', '10.0.0.8')]).left).toEqual(['10.0.0.7', '10.0.0.8', '10.0.0.9']);
    expect(w.routes()).toEqual(['10.0.0.1/32 tap1']);
    cut(w, '10.0.0.7', '10.0.0.8', '10.0.0.9');
    expect(w.routes()).toEqual(['10.0.0.1/32 tap1', '10.0.0.7/32 tap1', '10.0.0.8/32 tap2']);
    expect(w.say(['a', device('tap1', '10.0.0.1')]).left).toEqual(['10.0.0.7']);
  });
  test('whatever comes in whatever order: no route leads elsewhere than before without that its address was cut since, and in the end each leads where it is wanted', async () => {
    const [interfaces, addresses] = [
      ['tap1', 'tap2', 'tap3'],
      ['10.0.0.1', '10.0.0.2'],
    ] as const;
    const step = fc.oneof(
      fc.record({ endpoint: fc.constantFrom('a', 'b'), device: fc.option(fc.tuple(fc.constantFrom(...interfaces), fc.subarray([...addresses]))) }),
      fc.constant('cut' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const w = world();
        for (const name of interfaces) await w.plug(name);
        const wanted = new Map<string, readonly [string, readonly string[]]>();
        let waiting: IpAddress[] = [];
        /** The interface that each address was last routed to, as long as its connections have not been cut. */
        const before = new Map<string, string>();
        const look = (cut: readonly string[]): void => {
          for (const address of cut) before.delete(address);
          for (const [address = '', where = ''] of w.routes().map((route) => route.split('/32 '))) {
            expect([address, before.get(address) ?? where]).toEqual([address, where]);
            before.set(address, where);
          }
        };
        for (const one of [...steps, 'cut' as const]) {
          if (one === 'cut') {
            w.devices.release(waiting);
            w.devices.apply();
            look(waiting);
            waiting = [];
            continue;
          }
          const taken = [...wanted].filter(([endpoint]) => endpoint !== one.endpoint).map(([, [name]]) => name);
          const mine = one.device && !taken.includes(one.device[0]) ? one.device : undefined;
          if (mine) wanted.set(one.endpoint, mine);
          else wanted.delete(one.endpoint);
          // As in the calculation, of two endpoints with an address the first by name owns it.
          const owned = (endpoint: string): readonly string[] => {
            const others = [...wanted].filter(([other]) => other < endpoint).flatMap(([, [, theirs]]) => theirs);
            return wanted.get(endpoint)![1].filter((address) => !others.includes(address));
          };
          const devices = ['a', 'b'].map((endpoint) => [endpoint, wanted.get(endpoint) && device(wanted.get(endpoint)![0], ...owned(endpoint))] as const);
          waiting.push(...w.say(...devices).left);
          look([]);
        }
        const expected = ['a', 'b'].flatMap((endpoint) => {
          const others = endpoint === 'b' ? (wanted.get('a')?.[1] ?? []) : [];
          return (wanted.get(endpoint)?.[1] ?? []).filter((address) => !others.includes(address)).map((address) => `${address}/32 ${wanted.get(endpoint)![0]}`);
        });
        expect(w.routes()).toEqual(expected.sort());
      }),
    );
  });
});

test('other settings move every route to its new metric', async () => {
  const { plug, say, devices, routes } = world();
  await plug('tap1');
  say(['a', device('tap1', '10.0.0.1', 'fd00::1')]);
  devices.setSettings({ ...settings, ipv6: false });
  devices.apply();
  expect(routes()).toEqual(['10.0.0.1/32 tap1']);
});

describe('bandwidth', () => {
  const bucket = { rateBytesPerSecond: 125_000, burstBytes: 100_000, queueBytes: 131_072 };
  const limited = (bandwidth: WorkloadDevice['bandwidth']): WorkloadDevice => ({ ...device('tap1', '10.65.0.11'), ...(bandwidth && { bandwidth }) });
  const both = limited({ ingress: bucket, egress: bucket });

  test('limits come and go with the endpoint’s value, and with the endpoint; without them nothing is read', async () => {
    const { plug, say, qdiscs, links } = world();
    const index = await plug('tap1');
    const held = () => qdiscs.open().read(index);
    say(['tap1', limited(undefined)]);
    expect(qdiscs.commits).toEqual([]);
    expect(say(['tap1', both]).changed).toEqual(new Map());
    expect([held().root?.kind, held().filters.length, links.indexOf(ifbOf('tap1')) !== undefined]).toEqual(['tbf', 1, true]);
    say(['tap1', limited({ egress: bucket })]);
    expect([held().root, held().filters.length]).toEqual([undefined, 1]);
    say(['tap1', both]);
    say(['tap1', undefined]);
    expect([held(), links.indexOf(ifbOf('tap1'))]).toEqual([{ filters: [] }, undefined]);
  });

  test('an interface that comes later gets its limits; when it goes, its ifb goes', async () => {
    const { plug, say, qdiscs, links, devices } = world();
    say(['tap1', both]);
    const index = await plug('tap1');
    devices.apply();
    expect(qdiscs.open().read(index).filters).toHaveLength(1);
    links.kernel.remove(index);
    await Promise.resolve();
    devices.apply();
    expect(links.indexOf(ifbOf('tap1'))).toBeUndefined();
  });

  test('what others take away is told and comes back: the qdisc, the filter, the ifb', async () => {
    const { plug, say, qdiscs, links, devices, drifts } = world();
    const index = await plug('tap1');
    say(['tap1', both]);
    const wanted = (): unknown => ({
      ...qdiscs.open().read(index),
      filters: qdiscs
        .open()
        .read(index)
        .filters.map(({ redirectsTo }) => redirectsTo === links.indexOf(ifbOf('tap1'))),
    });
    const right = wanted();
    await Promise.resolve();
    devices.apply(); // the ifb's events have come
    const another = qdiscs.open();
    for (const [index_, verb] of [
      [index, 'delete-root'],
      [index, 'delete-ingress'],
      [links.indexOf(ifbOf('tap1'))!, 'delete-root'],
    ] as const) {
      another.commit(verb === 'delete-root' ? { verb, index: index_, handle: bucketHandle } : { verb, index: index_ });
      await Promise.resolve();
      expect(drifts.splice(0)).not.toEqual([]);
      devices.apply();
      expect(wanted()).toEqual(right);
    }
    links.removeLink(ifbOf('tap1'));
    await Promise.resolve();
    devices.apply();
    expect(wanted()).toEqual(right);
  });

  test('a refused limit is an error of the endpoint, is tried again, and holds nothing else up', async () => {
    const { plug, say, qdiscs, devices, routes } = world();
    const index = await plug('tap1');
    qdiscs.occupy(index, { root: { kind: 'htb', handle: 0x10000 } });
    const { changed, retry } = say(['tap1', both]);
    expect([changed.get(id('tap1')), retry]).toMatchObject([{ status: 'error', reason: expect.stringContaining('htb') }, true]);
    expect(routes()).toEqual(['10.65.0.11/32 tap1']);
    qdiscs.open().commit({ verb: 'create-ingress', index: 9999 });
    say(['tap1', limited({ egress: bucket })]);
    expect(devices.apply().retry).toBe(false);
  });

  test('limits of an earlier run that nobody wants any more go at the first step, ifbs without an interface too', async () => {
    const { links, qdiscs, plug } = world();
    const index = await plug('tap1');
    const shaper = createShaper(qdiscs.open(), links, shaperRights);
    shaper.shape(links.link('tap1')!, { toLink: bucket, fromLink: { bucket, through: ifbOf('tap1') } });
    links.createLink(`bwcali-orphan`, 'ifb');
    links.createLink(`ifb0`, 'ifb');
    await Promise.resolve();
    const limits = new BandwidthLimits(shaper, () => undefined);
    expect(limits.settle(limited(undefined), links.link('tap1'))).toBeUndefined();
    limits.settleRest(new Map(), () => undefined);
    expect(qdiscs.open().read(index)).toEqual({ filters: [] });
    await Promise.resolve();
    expect([...links.links.keys()].sort()).toEqual(['ifb0', 'lo', 'tap1']);
  });
});

test('sysctls are written anew when the endpoint or the settings want other values', async () => {
  const { plug, say, devices, sysctls } = world();
  await plug('tap1');
  const rpFilter = () => sysctls.get('net/ipv4/conf/tap1/rp_filter');
  say(['a', { ...device('tap1', '10.0.0.1'), spoofing: true }]);
  expect(rpFilter()).toBe('0');
  say(['a', device('tap1', '10.0.0.1')]);
  expect(rpFilter()).toBe('1');
  devices.setSettings({ ...settings, rpFilter: '2' });
  devices.apply();
  expect(rpFilter()).toBe('2');
});

test('without IPv6 the host has no IPv6 address for BGP on the interface, and has it again with IPv6', async () => {
  const { plug, say, devices, links } = world();
  await plug('tap1');
  const families = async () => {
    devices.apply();
    await Promise.resolve();
    return links.addresses('tap1').map(({ address }) => (address.includes(':') ? 6 : 4));
  };
  say(['a', { ...device('tap1', '10.0.0.1'), peeringAddresses: ['169.254.0.179', 'fd12::1'] as IpAddress[] }]);
  expect(await families()).toEqual([4, 6]);
  devices.setSettings({ ...settings, ipv6: false });
  expect(await families()).toEqual([4]);
  devices.setSettings(settings);
  expect(await families()).toEqual([4, 6]);
});

test('a step looks at the interfaces that changed alone', async () => {
  const { plug, say, devices, links } = world();
  for (const name of ['tap1', 'tap2']) await plug(name);
  say(['a', device('tap1', '10.0.0.1')], ['b', device('tap2', '10.0.0.2')]);
  const looked: string[] = [];
  const { link } = links;
  Object.assign(links, {
    link(name: string) {
      looked.push(name);
      return link.call(links, name);
    },
  });
  devices.linksChanged({ links: new Set(['tap2']), addresses: new Set(), lostIpv4: new Set() });
  devices.apply();
  expect(looked).not.toContain('tap1');
  expect(looked).toContain('tap2');
});

describe('what others do to an interface', () => {
  async function up() {
    const w = world();
    const index = await w.plug('tap1');
    expect(statuses(w.say(['a', device('tap1', '10.0.0.1', 'fd00::1')]))).toEqual({ a: 'up' });
    await Promise.resolve();
    w.devices.apply(); // the link-local address has come
    return { ...w, index };
  }

  test('a port of a bridge is an error with the bridge’s name, and up again when it is none', async () => {
    const { devices, links, index } = await up();
    const bridge = links.kernel.add('brq1', { kind: 'bridge', up: true });
    links.kernel.change(index, { masterIndex: bridge });
    await Promise.resolve();
    const [state] = devices.apply().changed.values();
    expect(state).toMatchObject({ status: 'error', reason: expect.stringContaining('is a port of bridge brq1') });
    links.kernel.change(index, { masterIndex: undefined });
    await Promise.resolve();
    expect(statuses(devices.apply())).toEqual({ a: 'up' });
  });

  test('the link-local address is there again when it was taken, and there alone where there is IPv6', async () => {
    const { devices, links } = await up();
    const address = 'fe80::fc16:3eff:fe00:1';
    expect(links.addresses('tap1').map((each) => each.address)).toEqual([address]);
    links.removeAddress('tap1', address, 64);
    await Promise.resolve();
    devices.apply();
    await Promise.resolve();
    expect(links.addresses('tap1').map((each) => each.address)).toEqual([address]);
    const old = world();
    await old.plug('tap1');
    old.say(['a', device('tap1', '10.0.0.1')]);
    await Promise.resolve();
    expect(old.links.addresses('tap1')).toEqual([]);
  });

  test('another one is left as it is', async () => {
    const { plug, links, say } = world();
    await plug('tap1');
    links.addAddress('tap1', 'fe80::7', 64);
    await Promise.resolve();
    say(['a', device('tap1', 'fd00::1')]);
    await Promise.resolve();
    expect(links.addresses('tap1').map((each) => each.address)).toEqual(['fe80::7']);
  });

  test('IPv4 routes that went with an address are created again', async () => {
    const { devices, links, routes } = await up();
    links.addAddress('tap1', '10.0.0.254', 32);
    await Promise.resolve();
    devices.apply();
    links.removeAddress('tap1', '10.0.0.254', 32);
    expect(routes()).toEqual(['fd00::1/128 tap1']);
    await Promise.resolve();
    devices.apply();
    expect(routes()).toEqual(['10.0.0.1/32 tap1', 'fd00::1/128 tap1']);
  });

  test('rules of others that let nothing pass are an error, when that is said, until they are gone', async () => {
    const { devices, obstacles } = await up();
    obstacles.set('tap1', 'a chain drops all');
    expect(statuses(devices.apply())).toEqual({});
    devices.obstaclesChanged();
    expect([...devices.apply().changed.values()]).toEqual([{ status: 'error', reason: 'a chain drops all' }]);
    obstacles.clear();
    devices.obstaclesChanged();
    expect(statuses(devices.apply())).toEqual({ a: 'up' });
  });

  test('sysctls that were set back are written again: those that are reported at once, all of them at an audit', async () => {
    const { devices, sysctls, restored, index } = await up();
    const [proxy, localnet] = ['proxy_arp', 'route_localnet'].map((name) => `net/ipv4/conf/tap1/${name}`) as [string, string];
    sysctls.set(proxy, '0');
    expect(devices.settingsChanged({ family: 4, link: index, proxy: 0 })).toBe(true);
    devices.apply();
    sysctls.set(localnet, '0');
    expect(devices.settingsChanged({ family: 4, link: index, forwarding: 1 })).toBe(false);
    expect(devices.settingsChanged({ family: 4, link: 'all', forwarding: 0 })).toBe(false);
    await devices.audit();
    expect([sysctls.get(proxy), sysctls.get(localnet)]).toEqual(['1', '1']);
    expect(restored).toEqual([`tap1: ${proxy}`, `tap1: ${localnet}`]);
  });

  test('sysctls that cannot be written at an audit are an error', async () => {
    const { devices, absent } = await up();
    absent.add('proxy_arp');
    await devices.audit();
    expect(statuses(devices.apply())).toEqual({ a: 'error' });
  });

  test('whether a reverse-path filter must be off is known as long as an endpoint needs it', async () => {
    const { devices, say } = await up();
    expect(devices.areAnyUnfiltered).toBe(false);
    say(['a', { ...device('tap1', '10.0.0.1'), spoofing: true }]);
    expect(devices.areAnyUnfiltered).toBe(true);
    say(['a', undefined]);
    expect(devices.areAnyUnfiltered).toBe(false);
  });

  test('the host answers for the gateway of an endpoint on its own interface alone', async () => {
    const { devices, say, plug, index } = await up();
    const other = await plug('tap2');
    say(['a', { ...device('tap1', '10.0.0.2'), ipv4Gateway: '10.0.0.1' as IpAddress }]);
    expect(devices.macOfGateway(index, '10.0.0.1')).toBe('fe:16:3e:00:00:01');
    expect(devices.macOfGateway(index, '10.0.0.2')).toBeUndefined();
    expect(devices.macOfGateway(other, '10.0.0.1')).toBeUndefined();
    expect(devices.macOfGateway(77, '10.0.0.1')).toBeUndefined();
  });
});
