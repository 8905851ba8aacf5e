import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import { describe, expect, test } from 'vitest';
import { AddressLeads } from './leads.ts';

const device = (interfaceName: string, ...routes: string[]) => ({ interfaceName, routes: routes as Cidr[] });
const [address, cidr] = ['10.0.0.1' as IpAddress, '10.0.0.1/32' as Cidr];
const none = new Map<Cidr, string>();

/** Leads in which the address leads to tap1. */
function led() {
  const leads = new AddressLeads(none);
  leads.change([], [device('tap1', cidr)]);
  return leads;
}

describe('an address has left', () => {
  test('when its interface goes, until it is released', () => {
    const leads = led();
    expect(leads.change([device('tap1', cidr)], [])).toEqual([address]);
    expect([leads.isLeaving(cidr), leads.interfaceOf(cidr)]).toEqual([true, undefined]);
    expect(leads.release(address)).toBe(cidr);
    expect([leads.isLeaving(cidr), leads.areAnyLeaving]).toEqual([false, false]);
  });
  test('when another interface has it now', () => {
    const leads = led();
    expect(leads.change([device('tap1', cidr)], [device('tap2', cidr)])).toEqual([address]);
    expect([leads.isLeaving(cidr), leads.interfaceOf(cidr)]).toEqual([true, 'tap2']);
  });
  test('when it came back before it was released, too', () => {
    const leads = led();
    leads.change([device('tap1', cidr)], []);
    expect(leads.change([], [device('tap1', cidr)])).toEqual([]);
    expect(leads.isLeaving(cidr)).toBe(true);
  });
  test('again, when it leaves again', () => {
    const leads = led();
    leads.change([device('tap1', cidr)], []);
    leads.release(address);
    leads.change([], [device('tap2', cidr)]);
    expect(leads.change([device('tap2', cidr)], [])).toEqual([address]);
  });
});

describe('an address has not left', () => {
  test('when it is new', () => {
    const leads = led();
    expect([leads.areAnyLeaving, leads.interfaceOf(cidr)]).toEqual([false, 'tap1']);
  });
  test('when the same interface has it before and after, whoever says so', () => {
    const leads = led();
    expect(leads.change([device('tap1', cidr, '10.0.0.2/32')], [device('tap1', cidr)])).toEqual([]);
  });
  test('when the interface that goes no longer had it', () => {
    const leads = led();
    leads.change([], [device('tap2', cidr)]);
    leads.release(address);
    expect(leads.change([device('tap1', cidr)], [])).toEqual([]);
    expect(leads.interfaceOf(cidr)).toBe('tap2');
  });
  test('when it is a prefix', () => {
    const leads = new AddressLeads(none);
    leads.change([], [device('tap1', '10.0.0.0/24')]);
    expect(leads.change([device('tap1', '10.0.0.0/24')], [])).toEqual([]);
  });
});

test('what led elsewhere in an earlier run, or had left then, leaves with the first change, and with no later one', () => {
  const earlier = new Map([
    [cidr, 'tap1'],
    ['10.0.0.2/32', 'tap1'],
    ['10.0.0.3/32', ''],
  ] as [Cidr, string][]);
  const leads = new AddressLeads(earlier);
  expect(leads.change([], [device('tap1', cidr, '10.0.0.3/32')])).toEqual(['10.0.0.2', '10.0.0.3']);
  expect(leads.change([], [device('tap2', '10.0.0.2/32')])).toEqual([]);
});

test('why an address is held is known until it is released, and of one that has not left there is nothing to say', () => {
  const leads = led();
  leads.hold(address, 'EBUSY');
  expect(leads.whyHeld(cidr)).toBeUndefined();
  leads.change([device('tap1', cidr)], []);
  expect(leads.whyHeld(cidr)).toBeUndefined();
  leads.hold(address, 'EBUSY');
  expect(leads.whyHeld(cidr)).toBe('no route to 10.0.0.1: EBUSY');
  leads.release(address);
  expect(leads.whyHeld(cidr)).toBeUndefined();
});
