import { recordingLog } from '@calico-openstack/agent';
import { describe, expect, test } from 'vitest';
import { HostSettings, kernelHasIpv6 } from './host-settings.ts';

const [v4, v6] = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'];
const both = { IPForwarding: 'Enabled', Ipv6Support: true } as const;

/** A host with these sysctls. Writes are recorded in their order. */
function world(sysctls: Readonly<Record<string, string>> = {}) {
  const values = new Map(Object.entries({ [v4!]: '0', [v6!]: '0', 'net/ipv4/conf/all/rp_filter': '0', ...sysctls }));
  const written: string[] = [];
  const refused = new Set<string>();
  const { log, entries } = recordingLog();
  const settings = new HostSettings({
    read: (path) => values.get(path.join('/')),
    write: (path, value) => {
      const key = path.join('/');
      if (refused.has(key)) throw new Error('EROFS');
      if (!values.has(key)) return 'absent';
      if (values.get(key) === String(value)) return 'unchanged';
      values.set(key, String(value));
      written.push(`${key}=${value}`);
      return 'written';
    },
    links: { links: new Map(['lo', 'eth0', 'eth1', 'tap1'].map((name) => [name, undefined as never])) },
    isWorkloads: (name) => name.startsWith('tap'),
    log,
  });
  return { settings, values, written, refused, said: (text: string) => entries.filter(({ message }) => message.includes(text)).length };
}
/** `accept_ra` of interfaces that do not forward. */
const acceptRa = (values: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => [
      [`net/ipv6/conf/${name}/accept_ra`, value],
      [`net/ipv6/conf/${name}/forwarding`, '0'],
    ]),
  );

describe('forwarding', () => {
  test.each([
    ['of both families', both, [v4, v6]],
    ['of IPv4 alone', { ...both, Ipv6Support: false }, [v4]],
    ['of none, where the host’s own configuration does it', { ...both, IPForwarding: 'Disabled' as const }, []],
  ])('%s is switched on', (_, config, expected) => {
    const { settings, written } = world();
    settings.settle(config, false);
    expect(written).toEqual(expected.map((path) => `${path}=1`));
  });

  test('is switched on again when others switched it off and that was noted, with a warning', () => {
    const { settings, values, written, said } = world();
    settings.settle(both, false);
    values.set(v4!, '0');
    settings.settle(both, false);
    expect(values.get(v4!)).toBe('0');
    settings.doubt();
    settings.settle(both, false);
    expect(values.get(v4!)).toBe('1');
    expect([written.length, said('another program has switched forwarding off')]).toEqual([3, 1]);
  });

  test('is left as it is when it is no longer wanted', () => {
    const { settings, values } = world();
    settings.settle(both, false);
    settings.doubt();
    settings.settle({ ...both, IPForwarding: 'Disabled' }, false);
    expect(values.get(v4!)).toBe('1');
  });

  test('that cannot be switched on is said', () => {
    const { settings, refused, values, said } = world();
    refused.add(v4!);
    values.delete(v6!);
    settings.settle(both, false);
    expect([said('cannot set the sysctl to 1'), said('this kernel does not have the sysctl')]).toEqual([1, 1]);
  });
});

describe('before IPv6 forwarding is switched on, accept_ra', () => {
  test('of interfaces that heed routers becomes 2, and no others', () => {
    const { settings, written, said } = world(acceptRa({ lo: '1', eth0: '1', eth1: '0', tap1: '1' }));
    settings.settle(both, false);
    expect(written).toEqual([`${v4}=1`, 'net/ipv6/conf/eth0/accept_ra=2', `${v6}=1`]);
    expect(said('goes on learning')).toBe(1);
  });
  test('stays as it is of an interface that forwards already: it heeds no router', () => {
    const { settings, written } = world({ ...acceptRa({ eth0: '1', eth1: '1' }), 'net/ipv6/conf/eth0/forwarding': '1' });
    settings.settle(both, false);
    expect(written).toEqual([`${v4}=1`, 'net/ipv6/conf/eth1/accept_ra=2', `${v6}=1`]);
  });
  test('becomes 2 also before a workload’s interface is to forward: that alone makes the kernel forget', () => {
    const { settings, written } = world(acceptRa({ eth0: '1', tap1: '0' }));
    settings.writeOfInterface(['net', 'ipv6', 'conf', 'tap1', 'proxy_ndp'], '1');
    expect(written).toEqual([]);
    settings.writeOfInterface(['net', 'ipv6', 'conf', 'tap1', 'forwarding'], '1');
    expect(written).toEqual(['net/ipv6/conf/eth0/accept_ra=2', 'net/ipv6/conf/tap1/forwarding=1']);
    expect(settings.writeOfInterface(['net', 'ipv6', 'conf', 'tap1', 'forwarding'], '1')).toBe('unchanged');
  });
  test('becomes 2 again where others have set it back together with forwarding', () => {
    const { settings, values, written } = world(acceptRa({ eth0: '1' }));
    settings.settle(both, false);
    values.set(v6!, '0');
    values.set('net/ipv6/conf/eth0/accept_ra', '1');
    written.length = 0;
    settings.doubt();
    settings.settle(both, false);
    expect(written).toEqual(['net/ipv6/conf/eth0/accept_ra=2', `${v6}=1`]);
  });
  test('that cannot be set is said', () => {
    const { settings, refused, said } = world(acceptRa({ eth0: '1' }));
    refused.add('net/ipv6/conf/eth0/accept_ra');
    settings.settle(both, false);
    expect(said('cannot set accept_ra to 2')).toBe(1);
  });
});

describe('a reverse-path filter for all interfaces', () => {
  test('is told once while an interface’s must be off, and again after it was off', () => {
    const { settings, values, said } = world({ 'net/ipv4/conf/all/rp_filter': '1' });
    settings.settle(both, false);
    expect(said('overrules')).toBe(0);
    settings.settle(both, true);
    settings.settle(both, true);
    expect(said('overrules')).toBe(1);
    values.set('net/ipv4/conf/all/rp_filter', '0');
    settings.settle(both, true);
    values.set('net/ipv4/conf/all/rp_filter', '2');
    settings.settle(both, true);
    expect(said('overrules')).toBe(2);
  });
});

test('a kernel whose settings of IPv6 are not there has no IPv6', () => {
  expect(kernelHasIpv6(() => '0')).toBe(true);
  expect(kernelHasIpv6(() => undefined)).toBe(false);
});
