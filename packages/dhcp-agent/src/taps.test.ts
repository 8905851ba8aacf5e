import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { beforeEach, describe, expect, test } from 'vitest';
import { setServerAddresses, tapsInUse } from './taps.ts';
import { ip } from './testing/facts.ts';

const gateway4 = { address: ip('10.65.0.1'), prefixLength: 32 };
const gateway6 = { address: ip('2001:db8:a::1'), prefixLength: 128 };
const other6 = { address: ip('2001:db8:b::1'), prefixLength: 128 };

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
  expect(setServerAddresses(links, 'tap1', [gateway4, gateway6, other6])).toEqual([]);
  expect(on('tap1')).toEqual(['10.65.0.1', '2001:db8:a::1', '2001:db8:b::1']);
  expect(links.addresses('tap1').map(({ noPrefixRoute, scope }) => [noPrefixRoute, scope])).toEqual([
    [true, 253],
    [true, 0],
    [true, 0],
  ]);
  expect(tapsInUse(links)).toEqual(['tap1']);
});

test('addresses that are already right are not touched', () => {
  setServerAddresses(links, 'tap1', [gateway4, gateway6, other6]);
  on('tap1');
  links.addAddress = () => expect.unreachable();
  links.removeAddress = () => expect.unreachable();
  expect(setServerAddresses(links, 'tap1', [gateway4, gateway6, other6])).toEqual([]);
});

test('stale addresses are removed, except those that this agent did not add', () => {
  links.addAddress('tap1', 'fe80::1', 64);
  setServerAddresses(links, 'tap1', [gateway4, other6]);
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
  expect(on('tap1')).toEqual(['2001:db8:a::1', '240.0.0.67']);
});

describe('the kernel drops a tap’s IPv4 routes with its last IPv4 address, so', () => {
  /** Returns all changes of addresses so far, in order. */
  function recorded(): string[] {
    const calls: string[] = [];
    const { addAddress, removeAddress } = links;
    links.addAddress = (name, address, ...rest) => {
      calls.push(`+${address}`);
      return addAddress(name, address, ...rest);
    };
    links.removeAddress = (name, address, length) => {
      calls.push(`-${address}`);
      return removeAddress(name, address, length);
    };
    return calls;
  }

  test('a new address is added before the former one is removed', () => {
    setServerAddresses(links, 'tap1', [gateway4]);
    on('tap1');
    const calls = recorded();
    setServerAddresses(links, 'tap1', [{ address: ip('10.65.0.2'), prefixLength: 32 }]);
    expect(calls).toEqual(['+10.65.0.2', '-10.65.0.1']);
  });

  test('a tap that is not served any more has another one first, which is no source of anything, until it is served again', () => {
    setServerAddresses(links, 'tap1', [gateway4, gateway6]);
    on('tap1');
    const calls = recorded();
    setServerAddresses(links, 'tap1', []);
    expect(calls).toEqual(['+240.0.0.67', '-10.65.0.1', '-2001:db8:a::1']);
    expect(on('tap1')).toEqual(['240.0.0.67']);
    expect(links.addresses('tap1')[0]).toMatchObject({ scope: 254, noPrefixRoute: true });
    setServerAddresses(links, 'tap1', []);
    setServerAddresses(links, 'tap1', [gateway6]);
    expect(on('tap1')).toEqual(['240.0.0.67', '2001:db8:a::1']);
    setServerAddresses(links, 'tap1', [gateway4, gateway6]);
    expect(calls.slice(3)).toEqual(['+2001:db8:a::1', '+10.65.0.1', '-240.0.0.67']);
  });

  test('the last address stays where the kernel refuses another one', () => {
    setServerAddresses(links, 'tap1', [gateway4]);
    on('tap1');
    links.addAddress = () => ({ code: 'ENOBUFS' });
    expect(setServerAddresses(links, 'tap1', [])).toEqual([{ code: 'ENOBUFS', tap: 'tap1', address: '240.0.0.67' }]);
    expect(on('tap1')).toEqual(['10.65.0.1']);
  });

  test('a tap that has an operator’s IPv4 address, or never had one, needs none', () => {
    links.kernel.add('tap2', { up: true });
    links.addAddress('tap1', '192.0.2.1', 24);
    setServerAddresses(links, 'tap1', [gateway4]);
    setServerAddresses(links, 'tap2', [gateway6]);
    on('tap1');
    for (const tap of ['tap1', 'tap2']) setServerAddresses(links, tap, []);
    expect([on('tap1'), on('tap2')]).toEqual([['192.0.2.1'], []]);
  });
});

test('an operator’s addresses stay, also those without a prefix route', () => {
  links.addAddress('lo', '127.0.0.1', 8, { protocol: 1 }); // Linux reports this protocol since 5.18
  links.addAddress('tap1', '192.0.2.1', 24, { noPrefixRoute: true });
  links.addAddress('tap1', '192.0.2.2', 32, { noPrefixRoute: true });
  links.addAddress('tap1', '2001:db8:9::1', 64, { noPrefixRoute: true });
  on('lo');
  setServerAddresses(links, 'tap1', [gateway4]);
  on('tap1');
  setServerAddresses(links, 'tap1', []);
  expect(on('tap1')).toEqual(['192.0.2.1', '192.0.2.2', '2001:db8:9::1']);
});

test('a tap that was renamed loses the addresses, and a link of another name that others gave such addresses does not', () => {
  setServerAddresses(links, 'tap1', [gateway4, gateway6]);
  links.setLink('tap1', { name: 'spare0' });
  links.kernel.add('eth0', { up: true });
  links.addAddress('eth0', '192.0.2.2', 32, { noPrefixRoute: true, scope: 253 });
  on('spare0');
  expect(tapsInUse(links)).toEqual(['spare0']);
  expect(setServerAddresses(links, 'spare0', [])).toEqual([]);
  expect([on('spare0'), on('eth0')]).toEqual([[], ['192.0.2.2']]);
});

test('a tap that does not exist, or is deleted meanwhile, is no error', () => {
  expect(setServerAddresses(links, 'tap2', [gateway4])).toEqual([]);
  links.kernel.remove(links.link('tap1')!.index); // the tap is gone, and the kernel's event has not arrived yet
  expect(setServerAddresses(links, 'tap1', [gateway4])).toEqual([]);
});

test('what the kernel refuses is returned', () => {
  links.addAddress = () => ({ code: 'EINVAL' });
  expect(setServerAddresses(links, 'tap1', [gateway4])).toEqual([{ code: 'EINVAL', tap: 'tap1', address: '10.65.0.1' }]);
});
