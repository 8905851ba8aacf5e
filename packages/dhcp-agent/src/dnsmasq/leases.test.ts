import { expect, test } from 'vitest';
import { ip } from '../testing/facts.ts';
import { isKept } from './disk.ts';
import { parseLeases, pruneLeases } from './leases.ts';

const text = `1795529559 fa:16:3e:00:00:01 10.65.0.11 vm-1 *
0 fa:16:3e:00:00:02 10.65.0.12 * 01:fa:16:3e:00:00:02
0 06-00:00:00:02 10.65.0.13 * *
something else
`;

test('leases are read, and nothing else', () => {
  expect(parseLeases(text)).toEqual([
    { address: '10.65.0.11', mac: 'fa:16:3e:00:00:01' },
    { address: '10.65.0.12', mac: 'fa:16:3e:00:00:02' },
    { address: '10.65.0.13', mac: undefined },
  ]);
  expect(parseLeases('')).toEqual([]);
});

test('pruning removes whole lines, and keeps what is no lease', () => {
  expect(pruneLeases(text, () => true)).toBe(text);
  expect(pruneLeases(text, () => false)).toBe('something else\n');
  expect(pruneLeases(text, ({ mac }) => mac === 'fa:16:3e:00:00:02').split('\n')[0]).toContain('10.65.0.12');
});

test('a lease is kept while a port has its address and its MAC', () => {
  const entry = {
    tap: 'tap1',
    macs: ['fa:16:3e:00:00:01', 'fa:16:3e:00:00:02'],
    leases: [ip('10.65.0.11'), ip('10.65.0.12'), ip('10.65.0.13')],
    serverAddresses: [],
  };
  expect(parseLeases(pruneLeases(text, isKept([entry]))).map(({ address }) => address)).toEqual(['10.65.0.11', '10.65.0.13']);
});
