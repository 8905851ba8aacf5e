import type { Cidr } from '@calico-openstack/addresses';
import { beforeEach, describe, expect, test } from 'vitest';
import { InterfaceSysctls, type SysctlSettings, sysctlsOf } from './sysctls.ts';

const settings = { ipv6: true, rpFilter: '1' };
const tap = { interfaceName: 'tap1', spoofing: false, routing: 'normal', routes: ['10.0.0.1/32' as Cidr] } as const;
const dualStack = { ...tap, routes: [...tap.routes, 'fd00::1/128' as Cidr] };
const written = new Map<string, string>();
const [absent, refused] = [new Set<string>(), new Set<string>()];
let restored: string[];
let sysctls: InterfaceSysctls;
let rpFilterOfAll: string;

beforeEach(() => {
  for (const each of [written, absent, refused]) each.clear();
  restored = [];
  rpFilterOfAll = '0';
  sysctls = new InterfaceSysctls({
    writeSysctl: (path, value) => {
      const name = path.at(-1)!;
      if (refused.has(name)) throw new Error('EACCES');
      if (absent.has(name)) return 'absent';
      const before = written.get(path.join('/'));
      written.set(path.join('/'), String(value));
      return before === String(value) ? 'unchanged' : 'written';
    },
    readSysctl: (path) => (path.join('.') === 'net.ipv4.conf.all.rp_filter' ? rpFilterOfAll : undefined),
    onSysctlsRestored: (name, paths) => void restored.push(`${name} ${paths.join(' ')}`),
  });
});

describe('the settings of an interface', () => {
  const valuesOf = (device: Parameters<typeof sysctlsOf>[0], wanted: SysctlSettings, ofAll = '0'): Record<string, string> =>
    Object.fromEntries(sysctlsOf(device, wanted, ofAll).map(({ path, value }) => [path.slice(1).join('/').replace('tap1/', ''), value]));
  test('are those of a tap that is routed', () => {
    expect(valuesOf(tap, settings)).toEqual({
      'ipv6/conf/accept_ra': '0',
      'ipv6/conf/accept_dad': '0',
      'ipv4/conf/route_localnet': '1',
      'ipv4/neigh/proxy_delay': '0',
      'ipv4/conf/proxy_arp': '1',
      'ipv4/conf/forwarding': '1',
      'ipv4/conf/rp_filter': '1',
      'ipv6/conf/proxy_ndp': '1',
      'ipv6/conf/forwarding': '1',
    });
  });
  test('let sources be what they want where the workload may send from prefixes', () => {
    expect(valuesOf({ ...tap, spoofing: true }, settings)['ipv4/conf/rp_filter']).toBe('0');
  });
  test.each(['held', 'elevated'] as const)('let the first packets of a workload that arrives by live migration in: its routes are %s', (routing) => {
    expect(valuesOf({ ...tap, routing }, settings)['ipv4/conf/rp_filter']).toBe('0');
  });
  test.each([
    ['0', '0'],
    ['1', '2'],
    ['2', '2'],
  ])('check least what they are to check least, where all interfaces check sources by mode %s', (ofAll, value) => {
    for (const each of [{ ...tap, routing: 'held' } as const, { ...tap, spoofing: true }])
      expect(valuesOf(each, settings, ofAll)['ipv4/conf/rp_filter']).toBe(value);
    for (const routing of ['normal', 'leaving'] as const) expect(valuesOf({ ...tap, routing }, settings, ofAll)['ipv4/conf/rp_filter']).toBe('1');
  });
  test('switch IPv6 on where the workload has an IPv6 address', () => {
    expect(valuesOf(dualStack, settings)['ipv6/conf/disable_ipv6']).toBe('0');
    expect(valuesOf(dualStack, { ...settings, ipv6: false })).not.toHaveProperty(['ipv6/conf/disable_ipv6']);
  });
  test('leave IPv6 off where it is not supported, and its router advertisements unheard all the same', () => {
    const values = valuesOf(tap, { ...settings, ipv6: false });
    expect(Object.keys(values).filter((path) => path.startsWith('ipv6'))).toEqual(['ipv6/conf/accept_ra', 'ipv6/conf/accept_dad']);
  });
});

describe('they are written', () => {
  test('with the host’s mode as it is at that moment', () => {
    rpFilterOfAll = '1';
    sysctls.settle({ ...tap, spoofing: true }, { epoch: 1 }, settings);
    expect(written.get('net/ipv4/conf/tap1/rp_filter')).toBe('2');
  });
  const path = 'net/ipv4/conf/tap1/proxy_arp';
  const settle = (epoch: number | undefined) => sysctls.settle(tap, epoch === undefined ? undefined : { epoch }, settings);
  test('once for each life of the link', () => {
    expect(settle(1)).toBeUndefined();
    written.clear();
    settle(1);
    expect(written.size).toBe(0);
    settle(2);
    expect(written.get(path)).toBe('1');
  });
  test('again for a link that was away', () => {
    settle(1);
    settle(undefined);
    written.clear();
    settle(1);
    expect(written.get(path)).toBe('1');
  });
  test('again when other values may be wanted, of one interface or of all', () => {
    for (const name of ['tap1', undefined]) {
      settle(1);
      written.clear();
      sysctls.forget(name);
      settle(1);
      expect(written.get(path)).toBe('1');
    }
    sysctls.forget('tap2');
    written.clear();
    settle(1);
    expect(written.size).toBe(0);
  });
  test('again and again while one that is needed cannot be, and that is told', () => {
    absent.add('proxy_arp');
    refused.add('forwarding');
    expect(settle(1)).toBe(`cannot write ${path}, net/ipv4/conf/tap1/forwarding, net/ipv6/conf/tap1/forwarding`);
    absent.clear();
    refused.clear();
    expect(settle(1)).toBeUndefined();
    expect(written.get(path)).toBe('1');
  });
  describe('again, and that is told,', () => {
    const change = { family: 4, link: 7 } as const;
    test('when the kernel reports another value than was written', () => {
      settle(1);
      written.set(path, '0');
      expect(sysctls.note('tap1', { ...change, proxy: 0 })).toBe(true);
      expect(settle(1)).toBeUndefined();
      expect([written.get(path), restored]).toEqual(['1', [`tap1 ${path}`]]);
      settle(1);
      expect(restored).toHaveLength(1);
    });
    test('when another program may have changed what the kernel reports nothing of', () => {
      settle(1);
      written.set('net/ipv4/conf/tap1/route_localnet', '0');
      sysctls.doubt('tap1');
      settle(1);
      expect(restored).toEqual(['tap1 net/ipv4/conf/tap1/route_localnet']);
    });
  });
  test('not again, and nothing is told, when the kernel reports our own writes, or what is no matter of ours', () => {
    expect(sysctls.note('tap1', { family: 4, link: 7, proxy: 0 })).toBe(false);
    settle(1);
    expect(sysctls.note('tap1', { family: 4, link: 7, proxy: 1, rpFilter: 1, forwarding: 1 })).toBe(false);
    expect(sysctls.note('tap1', { family: 6, link: 7, rpFilter: 5 })).toBe(false);
    expect(sysctls.note('tap2', { family: 4, link: 8, proxy: 0 })).toBe(false);
    written.set(path, '0');
    settle(1);
    settle(2); // another life of the link: nobody has changed anything
    expect(restored).toEqual([]);
  });
  test('without the ones that are not needed, where the kernel lacks them', () => {
    absent.add('accept_ra');
    refused.add('proxy_delay');
    expect(settle(1)).toBeUndefined();
  });
});
