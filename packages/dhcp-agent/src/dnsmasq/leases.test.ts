import { expect, test } from 'vitest';
import { ip } from '../testing/facts.ts';
import { isKept } from './disk.ts';
import { parseHolders, parseLeases, pruneLeases, withServerDuid } from './leases.ts';

const text = `1795529559 fa:16:3e:00:00:01 10.65.0.11 vm-1 *
0 fa:16:3e:00:00:02 10.65.0.12 * 01:fa:16:3e:00:00:02
duid 00:01:00:01:32:98:57:76:e6:ad:64:7c:fc:d6
1795530063 1040187393 2001:db8:a::11 * 00:01:00:01:32:98:57:77:fa:16:3e:00:00:01
`;

test('leases of both families are read, and nothing else', () => {
  expect(parseLeases(text)).toEqual([
    { address: '10.65.0.11', mac: 'fa:16:3e:00:00:01' },
    { address: '10.65.0.12', mac: 'fa:16:3e:00:00:02' },
    { address: '2001:db8:a::11', mac: undefined },
  ]);
  expect(parseLeases('')).toEqual([]);
});

test('pruning removes whole lines and keeps the server’s identifier', () => {
  expect(pruneLeases(text, () => true)).toBe(text);
  expect(pruneLeases(text, () => false)).toBe('duid 00:01:00:01:32:98:57:76:e6:ad:64:7c:fc:d6\n');
  expect(pruneLeases(text, ({ mac }) => mac === 'fa:16:3e:00:00:02').split('\n')[0]).toContain('10.65.0.12');
});

test('a lease is kept while a port has its address and, for IPv4, its MAC', () => {
  const entry = {
    tap: 'tap1',
    macs: ['fa:16:3e:00:00:01', 'fa:16:3e:00:00:02'],
    leases: [ip('10.65.0.11'), ip('10.65.0.12'), ip('2001:db8:a::11')],
    serverAddresses: [],
  };
  const kept = (unwanted: readonly string[] = []) => parseLeases(pruneLeases(text, isKept([entry], new Set(unwanted.map(ip))))).map(({ address }) => address);
  expect(kept()).toEqual(['10.65.0.11', '2001:db8:a::11']);
  expect(kept(['2001:db8:a::11'])).toEqual(['10.65.0.11']);
});

test('the holder of a DHCPv6 lease is read: identifier and association', () => {
  expect(parseHolders(text)).toEqual(
    new Map([[ip('2001:db8:a::11'), { iaid: 1_040_187_393, duid: Uint8Array.from([0, 1, 0, 1, 0x32, 0x98, 0x57, 0x77, 0xfa, 0x16, 0x3e, 0, 0, 1]) }]]),
  );
  expect(parseHolders('1795530063 T1040187393 2001:db8:a::11 * 00:01\n1795530063 1 2001:db8:a::11 * 00:0').size).toBe(0);
});

test('the server’s identifier is replaced by one that is the same on each host, so that guests find their server where they are migrated to', () => {
  expect(withServerDuid('')).toMatch(/^duid 00:04(:[0-9a-f]{2}){16}\n$/);
  expect(withServerDuid(text).split('\n')).toEqual([withServerDuid('').trim(), ...text.split('\n').filter((line) => !line.startsWith('duid'))]);
  expect(withServerDuid(withServerDuid(text))).toBe(withServerDuid(text));
});
