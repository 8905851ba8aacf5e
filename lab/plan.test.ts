import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLabError } from './errors.ts';
import { isNamespaceOf, makePlan, mostHosts, topologies, vmMachine } from './plan.ts';

const prefix = fc.stringMatching(/^[a-z][a-z0-9]{0,19}$/);
const vmName = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/);

test('addresses, names and AS numbers are unique', () => {
  const plan = makePlan('lab', mostHosts);
  const links = [plan.control, ...plan.hosts].map(({ link }) => link);
  const unique = (values: readonly unknown[]): void => expect(new Set(values).size).toBe(values.length);
  unique(links.flatMap(({ router4, machine4, router6, machine6 }) => [router4, machine4, router6, machine6]));
  unique(links.map(({ routerInterface }) => routerInterface));
  unique([plan.router.asNumber, ...plan.hosts.map(({ asNumber }) => asNumber)]);
  unique([plan.router, plan.control, ...plan.hosts].map(({ namespace }) => namespace));
});

test.each(topologies)('in the topology %s no two machines share an address or a namespace, and each has a router', (topology) => {
  const { router, racks, control, hosts } = makePlan('lab', mostHosts, topology);
  const machines = [...racks, control, ...hosts];
  const addresses = machines.flatMap(({ link }) => [link.machine4, link.machine6]);
  expect(new Set(addresses).size).toBe(addresses.length);
  const namespaces = [router, ...machines].map(({ namespace }) => namespace);
  expect(new Set(namespaces).size).toBe(namespaces.length);
  for (const namespace of namespaces) expect(isNamespaceOf('lab', namespace)).toBe(true);
  for (const host of hosts) expect([router, ...racks].map(({ name }) => name)).toContain(host.router.name);
  if (topology === 'racks') for (const rack of racks) expect(hosts.filter((host) => host.router.name === rack.name)).toHaveLength(mostHosts / 2);
});

test('interface names fit into the kernel’s 15 characters', () => {
  for (const { link } of makePlan('lab', mostHosts).hosts) expect(link.routerInterface.length).toBeLessThanOrEqual(15);
});

describe('the owner of a namespace', () => {
  test('is the lab that made it', () => {
    fc.assert(
      fc.property(prefix, vmName, fc.integer({ min: 1, max: 9 }), (name, vm, hosts) => {
        const plan = makePlan(name, hosts);
        for (const { namespace } of [plan.router, plan.control, ...plan.hosts, vmMachine(name, vm)]) expect(isNamespaceOf(name, namespace)).toBe(true);
      }),
    );
  });

  test('is no other lab, however similar the names', () => {
    fc.assert(
      fc.property(prefix, prefix, vmName, (one, other, vm) => {
        fc.pre(one !== other);
        const plan = makePlan(one, 3);
        for (const { namespace } of [plan.router, plan.control, ...plan.hosts, vmMachine(one, vm)]) expect(isNamespaceOf(other, namespace)).toBe(false);
      }),
    );
  });

  test.each(['lab', 'lab-', 'lab-other', 'lab-host-', 'lab-host-x', 'xlab-router', 'labs-router'])('%s has no owner', (namespace) => {
    expect(isNamespaceOf('lab', namespace)).toBe(false);
  });
});

test.each(['', 'Lab', '1lab', 'my-lab', 'a/b', '../x', 'l'.repeat(21)])('a lab cannot be called %j', (name) => {
  expect(() => makePlan(name, 3)).toThrow(expect.toSatisfy((error: unknown) => isLabError(error, 'BAD_OPTION')));
});

test.each([0, -1, 1.5, Number.NaN, mostHosts + 1])('a lab cannot have %j hosts', (hosts) => {
  expect(() => makePlan('lab', hosts)).toThrow(expect.toSatisfy((error: unknown) => isLabError(error, 'BAD_OPTION')));
});
