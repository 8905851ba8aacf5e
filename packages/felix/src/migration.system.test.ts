// The host that a VM migrates to, with a real kernel and a real etcd: when Felix routes to the VM, and with which metric. The VM is the test's own end of the tap.
import { advertisementFrame, gratuitousArpFrame, rarpFrame } from '@calico-openstack/kernel/testing/announcements';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Plugged, TestHost } from './testing/host.ts';
import { deviceId, endpointNumber, resource, securityGroup, type TestEndpoint, tapOf, workloadEndpoint } from './testing/resources.ts';

const open = securityGroup('open', [{ action: 'Allow' }]);

let host: TestHost;
beforeEach(async () => {
  host = await TestHost.open();
});
afterEach(() => host.close());

/** The LiveMigration of an endpoint that comes from another host, or goes there. */
function migration(endpoint: TestEndpoint, here: 'source' | 'target') {
  const end = (name: string) => ({
    workloadEndpoint: { hostname: name, orchestratorID: 'openstack', workloadID: `openstack/${deviceId(endpoint)}`, endpointID: endpoint.id },
  });
  const [from, to] = here === 'target' ? ['elsewhere', endpoint.host] : [endpoint.host, 'elsewhere'];
  return resource('LiveMigration', `livemigrations/openstack/${endpoint.id}`, { source: end(from), target: end(to) });
}

/** The metrics of the routes to an endpoint's addresses, IPv4 first. */
async function metricsOf(endpoint: TestEndpoint): Promise<readonly number[]> {
  const found = await Promise.all(
    endpoint.addresses.map(async (address) => {
      const routes: readonly { metric?: number }[] = JSON.parse(
        await host.exec('ip', '-j', ...(address.includes(':') ? ['-6'] : []), 'route', 'show', address, 'dev', tapOf(endpoint)),
      );
      return routes.map(({ metric }) => metric ?? 0);
    }),
  );
  return found.flat();
}
const untilMetrics = (endpoint: TestEndpoint, ...metrics: number[]): Promise<void> =>
  host.until(async () => (await metricsOf(endpoint)).join() === metrics.join(), `metrics ${metrics} of ${tapOf(endpoint)}`);

/** What a guest, or QEMU for it, sends when it begins to run on a host. */
const announcements = {
  rarp: ({ mac }: Plugged): Uint8Array => rarpFrame({ mac }),
  gratuitousArp: ({ mac, addresses: [v4] }: Plugged): Uint8Array => gratuitousArpFrame({ mac, address4: v4! }),
  advertisement: ({ mac, addresses: [, v6] }: Plugged): Uint8Array => advertisementFrame({ mac, address6: v6! }),
};

test('a VM that arrives gets routes with the elevated metric with the first frame that shows that it runs here, and with the normal one in time; no other guest gains by such frames', async () => {
  await host.exec('sysctl', '-q', '-w', 'net.ipv4.conf.default.rp_filter=1');
  const names = Object.keys(announcements) as (keyof typeof announcements)[];
  const arriving = await Promise.all(names.map((_, index) => host.plug(endpointNumber(index + 1))));
  const resident = await host.plug(endpointNumber(5));
  const leaving = await host.plug(endpointNumber(6));
  await host.put(
    open,
    ...[...arriving, resident, leaving].map(workloadEndpoint),
    ...arriving.map((each) => migration(each, 'target')),
    migration(leaving, 'source'),
  );
  host.startAgent(undefined, { FELIX_LIVEMIGRATIONROUTECONVERGENCETIME: '1' });
  await host.untilProgrammed();
  const announce = (endpoint: Plugged): void => {
    for (const make of Object.values(announcements)) host.wire.send(endpoint.interfaceIndex, make(endpoint));
  };
  for (const each of [resident, leaving]) announce(each);
  await host.until(async () => (await host.statusOf(arriving[0]!)) === '{"status":"up"}', 'the target’s status');
  // Before the routes are there packets of the guest pass, also with the strictest reverse-path filter of the host. They are no sign that it was heard.
  for (const each of arriving) expect(await host.passes(each, resident, { protocol: 17, destinationPort: 7000 })).toBe(true);
  expect(await Promise.all(arriving.map(metricsOf))).toEqual([[], [], []]);
  for (const [index, name] of names.entries()) host.wire.send(arriving[index]!.interfaceIndex, announcements[name](arriving[index]!));
  for (const each of arriving) await untilMetrics(each, 512, 512);
  expect(await metricsOf(resident)).toEqual([1024, 1024]);
  expect(await metricsOf(leaving)).toEqual([1025, 1025]);
  expect(await host.passes(resident, arriving[0]!, { protocol: 17, destinationPort: 7000 })).toBe(true);

  await host.stopAgent('SIGKILL');
  host.output = '';
  host.startAgent(undefined, { FELIX_LIVEMIGRATIONROUTECONVERGENCETIME: '1' });
  await host.untilProgrammed();
  for (const each of arriving) expect(await metricsOf(each)).toEqual([512, 512]);
  await host.delete(...arriving.map((each) => migration(each, 'target').key));
  for (const each of arriving) await untilMetrics(each, 1024, 1024);
});

test('a VM that is never heard is routed when Neutron activates its port; one whose migration is aborted is not', async () => {
  const [silent, aborted] = [endpointNumber(1), endpointNumber(2)];
  await host.put(open, workloadEndpoint(silent), workloadEndpoint(aborted), migration(silent, 'target'), migration(aborted, 'target'));
  host.startAgent();
  await host.untilProgrammed();
  const late = await host.plug(aborted); // the tap comes after the LiveMigration
  await host.plug(silent);
  await host.delete(migration(silent, 'target').key);
  await untilMetrics(silent, 512, 512);
  await host.until(async () => {
    host.wire.send(late.interfaceIndex, announcements.rarp(late)); // QEMU sends several, too
    return (await metricsOf(aborted)).join() === '512,512';
  }, 'the routes of the VM that announces itself');
  await host.delete(migration(aborted, 'target').key, workloadEndpoint(aborted).key);
  await untilMetrics(aborted);
  await host.put(workloadEndpoint(aborted), migration(aborted, 'target'));
  await host.until(async () => (await host.statusOf(aborted)) === '{"status":"up"}', 'the next migration');
  expect(await metricsOf(aborted)).toEqual([]);
});

/** The metrics of the blackholes for an endpoint's addresses. */
const blackholesOf = async ({ addresses }: TestEndpoint): Promise<readonly string[]> =>
  (
    await Promise.all(addresses.map((address) => host.exec('ip', ...(address.includes(':') ? ['-6'] : []), 'route', 'show', 'type', 'blackhole', address)))
  ).flatMap((text) => text.match(/metric \d+/g) ?? []);
const untilBlackholes = (endpoint: TestEndpoint, count: number): Promise<void> =>
  host.until(async () => (await blackholesOf(endpoint)).length === count, `${count} blackholes`);

test('a VM that leaves has blackholes behind its routes, until its migration ends or is aborted; a crash leaves none', async () => {
  const [leaving, staying] = [await host.plug(endpointNumber(1)), await host.plug(endpointNumber(2))];
  const both = [leaving, staying];
  await host.put(open, ...both.map(workloadEndpoint), ...both.map((each) => migration(each, 'source')));
  await host.exec('ip', 'route', 'add', 'blackhole', '10.65.0.99/32', 'proto', '3', 'metric', '4242'); // an operator's
  host.startAgent();
  await host.untilProgrammed();
  for (const each of both) {
    expect(await blackholesOf(each)).toEqual(['metric 4294967295', 'metric 4294967295']);
    expect(await metricsOf(each)).toEqual([1025, 1025]);
  }
  await host.delete(migration(staying, 'source').key);
  await untilBlackholes(staying, 0);
  await untilMetrics(staying, 1024, 1024);
  await host.unplug(leaving);
  await host.until(async () => (await host.statusOf(leaving)) === '{"status":"down"}', 'the status of a VM without a tap');
  expect(await blackholesOf(leaving)).toHaveLength(2);
  await host.delete(workloadEndpoint(leaving).key, migration(leaving, 'source').key);
  await untilBlackholes(leaving, 0);

  await host.put(migration(staying, 'source'));
  await untilBlackholes(staying, 2);
  await host.stopAgent('SIGKILL');
  await host.delete(migration(staying, 'source').key);
  host.output = '';
  host.startAgent();
  await host.untilProgrammed();
  expect(await blackholesOf(staying)).toEqual([]);
  expect(await host.exec('ip', 'route', 'show', 'type', 'blackhole')).toContain('10.65.0.99');
});

test('what an arriving VM sends before its routes are here passes, whatever reverse-path filter the host has for all interfaces', async () => {
  const [arriving, resident] = [await host.plug(endpointNumber(1)), await host.plug(endpointNumber(2))];
  await host.put(open, ...[arriving, resident].map(workloadEndpoint), migration(arriving, 'target'));
  // As at a host of a cloud: the DHCP agent's address is on the tap, and a route leads to where the VM still runs.
  await host.exec('ip', 'address', 'add', '10.65.0.1/32', 'dev', tapOf(arriving), 'scope', 'link', 'noprefixroute');
  await host.exec('ip', 'route', 'add', `${arriving.addresses[0]}/32`, 'dev', 'lo', 'metric', '768');
  for (const mode of ['1', '2']) {
    await host.exec('sysctl', '-q', '-w', `net.ipv4.conf.all.rp_filter=${mode}`);
    host.startAgent();
    await host.untilProgrammed();
    await host.until(async () => (await host.statusOf(arriving)) === '{"status":"up"}', 'the target’s status');
    expect(await host.passes(arriving, resident, { protocol: 17, destinationPort: 7000 }), `mode ${mode}`).toBe(true);
    await host.stopAgent('SIGKILL');
    host.output = '';
  }
});
