import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { beforeEach, expect, test } from 'vitest';
import { setServerAddresses, tapsInUse } from './taps.ts';
import { ip } from './testing/facts.ts';

const gateway4 = { address: ip('10.65.0.1'), prefixLength: 32 };
const gateway6 = { address: ip('2001:db8:a::1'), prefixLength: 64 };
const timer = { address: ip('fdca:fa16:3e00:1::1'), prefixLength: 64 };

let links: ReturnType<typeof fakeLinks>;
beforeEach(() => {
  links = fakeLinks({ deliverBy: 'hand' });
  links.kernel.add('tap1', { up: true });
  links.kernel.deliver();
});
const on = (tap: string): string[] => {
  links.kernel.deliver();
  return links.addresses(tap).map(({ address }) => address);
};

test('the tap has the addresses, without routes, and the IPv4 one is no source of anything else', () => {
  expect(setServerAddresses(links, 'tap1', [gateway4, gateway6, timer])).toEqual([]);
  expect(on('tap1')).toEqual(['10.65.0.1', '2001:db8:a::1', 'fdca:fa16:3e00:1::1']);
  expect(links.addresses('tap1').map(({ noPrefixRoute, scope }) => [noPrefixRoute, scope])).toEqual([
    [true, 253],
    [true, 0],
    [true, 0],
  ]);
  expect(tapsInUse(links)).toEqual(['tap1']);
});

test('addresses that are already right are not touched', () => {
  setServerAddresses(links, 'tap1', [gateway4, gateway6, timer]);
  on('tap1');
  links.addAddress = () => expect.unreachable();
  links.removeAddress = () => expect.unreachable();
  expect(setServerAddresses(links, 'tap1', [gateway4, gateway6, timer])).toEqual([]);
});

test('stale addresses are removed, except those that this agent did not add', () => {
  links.addAddress('tap1', 'fe80::1', 64);
  setServerAddresses(links, 'tap1', [gateway4, timer]);
  on('tap1');
  setServerAddresses(links, 'tap1', [{ address: ip('10.65.0.2'), prefixLength: 32 }]);
  expect(on('tap1')).toEqual(['fe80::1', '10.65.0.2']);
});

test('before etcd has been read nothing is removed', () => {
  setServerAddresses(links, 'tap1', [gateway4]);
  on('tap1');
  setServerAddresses(links, 'tap1', [gateway6], 'add');
  expect(on('tap1')).toEqual(['10.65.0.1', '2001:db8:a::1']);
});

test('reserved addresses are removed even before etcd has been read, and nothing else is', () => {
  setServerAddresses(links, 'tap1', [gateway4, gateway6]);
  on('tap1');
  setServerAddresses(links, 'tap1', [], 'add', (address) => address === '10.65.0.1');
  expect(on('tap1')).toEqual(['2001:db8:a::1']);
});

test('the address for the advertisements’ timer stays the one that was added last', () => {
  setServerAddresses(links, 'tap1', [gateway6, timer]);
  on('tap1');
  const other = { address: ip('2001:db8:b::1'), prefixLength: 64 };
  setServerAddresses(links, 'tap1', [gateway6, other, timer]);
  expect(on('tap1')).toEqual(['2001:db8:a::1', '2001:db8:b::1', 'fdca:fa16:3e00:1::1']);
});

test('a tap that does not exist, or is deleted meanwhile, is no error', () => {
  expect(setServerAddresses(links, 'tap2', [gateway4])).toEqual([]);
  links.kernel.remove(links.link('tap1')!.index); // its event has not come
  expect(setServerAddresses(links, 'tap1', [gateway4])).toEqual([]);
});

test('what the kernel refuses is returned', () => {
  links.addAddress = () => ({ code: 'EINVAL' });
  expect(setServerAddresses(links, 'tap1', [gateway4])).toEqual([{ code: 'EINVAL', tap: 'tap1', address: '10.65.0.1' }]);
});
