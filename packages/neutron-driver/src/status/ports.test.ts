import type { EndpointStatus } from '@calico-openstack/datamodel';
import { describe, expect, test } from 'vitest';
import type { PortRow } from '../rows.ts';
import { bindingRow, portId, portRow } from '../testing/rows.ts';
import { portStatusUpdate, upAtDestination } from './ports.ts';

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
