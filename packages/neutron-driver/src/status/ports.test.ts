import type { EndpointStatus } from '@calico-openstack/datamodel';
import { describe, expect, test } from 'vitest';
import type { PortRow } from '../rows.ts';
import { bindingRow, floatingIpRow, portId, portRow } from '../testing/rows.ts';
import { floatingIpUpdates, portStatusUpdate, upAtDestination } from './ports.ts';

type Reports = Readonly<Record<string, EndpointStatus | 'vanished rightly' | 'vanished wrongly'>>;
const reported = (reports: Reports) => ({
  at: ({ host }: { host: string }) => (reports[host]?.startsWith('vanished') ? undefined : (reports[host] as EndpointStatus | undefined)),
  vanished: ({ host }: { host: string }) => /^vanished (rightly|wrongly)$/.exec(reports[host] ?? '')?.[1] as 'rightly' | 'wrongly' | undefined,
});
const on = (host: string, vif = 'tap', profile = {}): Partial<PortRow> => ({ bindings: [bindingRow(host, vif, profile)] });

describe("a port's status", () => {
  test.each<readonly [string, Partial<PortRow>, Reports, string | undefined]>([
    ['up', on('h1'), { h1: 'up' }, 'ACTIVE'],
    ['down', { ...on('h1'), status: 'ACTIVE' }, { h1: 'down' }, 'DOWN'],
    ['error', on('h1'), { h1: 'error' }, 'ERROR'],
    ['vanished', { ...on('h1'), status: 'ACTIVE' }, { h1: 'vanished wrongly' }, 'ERROR'],
    ['vanished when it left, back and not reported yet', on('h1'), { h1: 'vanished rightly' }, undefined],
    ['not reported yet', on('h1'), {}, undefined],
    ['right already', { ...on('h1'), status: 'ACTIVE' }, { h1: 'up' }, undefined],
    ['up on another host', on('h1'), { h2: 'up' }, undefined],
    ['vanished on the host that it has left', { ...on('h2'), status: 'ACTIVE' }, { h1: 'vanished wrongly', h2: 'up' }, undefined],
    ['up on an unbound port', on('', 'unbound'), { h1: 'up' }, undefined],
    ['up while it is bound anew', on('h1', 'unbound'), { h1: 'up' }, 'ACTIVE'],
    ['vanished because it was put down', { ...on('h1'), status: 'ACTIVE', admin_state_up: false }, { h1: 'vanished rightly' }, 'DOWN'],
    ["vanished of a router's port", { ...on('h1'), device_owner: 'network:router_interface', status: 'ACTIVE' }, { h1: 'vanished wrongly' }, undefined],
  ])('%s', (_, port, reports, status) => {
    expect(portStatusUpdate(portRow(port), reported(reports))).toEqual(status && { port: portId, host: port.bindings?.[0]?.host, status });
  });
});

test('Nova is told of a port that is up on the host to which it migrates', () => {
  const moving = portRow(on('h1', 'tap', { migrating_to: 'h2' }));
  expect(upAtDestination(moving, reported({ h1: 'up', h2: 'down' }))).toBeUndefined();
  expect(upAtDestination(moving, reported({ h2: 'up' }))).toBe('h2');
  expect(upAtDestination(portRow(on('h1')), reported({ h1: 'up', h2: 'up' }))).toBeUndefined();
});

describe("a floating IP's status", () => {
  const virtual = portRow({ id: 'virtual', device_owner: 'Octavia', bindings: [], fixed_ips: [{ ip_address: '10.40.0.200', subnet_id: 's' }] });
  const paired = (status: string) => ({ ...floatingIpRow({ id: 'f2', status, fixed_port_id: 'virtual', fixed_ip_address: '10.40.0.200' }), port: virtual });
  const holder = portRow({ ...on('h1'), allowed_address_pairs: [{ ip_address: '10.40.0.200', mac_address: '' }] });
  const updates = (port: PortRow, status: string, own: string, other?: string): readonly string[] => {
    const rows = { floating_ips: [floatingIpRow({ status: own })], paired_floating_ips: other === undefined ? [] : [paired(other)] };
    return floatingIpUpdates(port, status, rows).map((update) => `${update.id} of ${update.port}: ${update.status}`);
  };
  test.each<readonly [string, readonly string[], readonly string[]]>([
    ['comes up with its port', updates(portRow(on('h1')), 'ACTIVE', 'DOWN'), [`f1 of ${portId}: ACTIVE`]],
    ['goes down with it', updates(portRow(on('h1')), 'DOWN', 'ACTIVE'), [`f1 of ${portId}: DOWN`]],
    ['is down with a port in error', updates(portRow(on('h1')), 'ERROR', 'ACTIVE'), [`f1 of ${portId}: DOWN`]],
    ['is not written again', updates(portRow(on('h1')), 'ACTIVE', 'ACTIVE'), []],
    ['is down at an address that the port has lost', updates(portRow({ ...on('h1'), fixed_ips: [] }), 'ACTIVE', 'ACTIVE'), [`f1 of ${portId}: DOWN`]],
    ['is down at a port that is nowhere', updates(portRow({ bindings: [] }), 'ACTIVE', 'ACTIVE'), [`f1 of ${portId}: DOWN`]],
    ['of a virtual IP comes up with a port that has the address as a pair', updates(holder, 'ACTIVE', 'ACTIVE', 'DOWN'), ['f2 of virtual: ACTIVE']],
    ['of a virtual IP does not go down with one such port', updates(holder, 'DOWN', 'DOWN', 'ACTIVE'), []],
  ])('%s', (_, said, expected) => expect(said).toEqual(expected));
});
