import type { IpAddress } from '@calico-openstack/addresses';
import type { Logger } from '@calico-openstack/agent';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Cutting, startCutting } from './cutting.ts';

const [one, two] = ['10.65.0.1', '10.65.0.2'] as IpAddress[] as [IpAddress, IpAddress];
const told: string[] = [];
const tell = (level: string) => (): void => void told.push(level);
const log = { error: tell('error'), info: tell('info'), debug: () => undefined } as unknown as Logger;

let refused: Set<string>;
let [cut, held]: [string[], string[]] = [[], []];
let cutting: Cutting;

beforeEach(() => {
  vi.useFakeTimers();
  told.length = 0;
  [cut, held] = [[], []];
  const deleteByAddress = async (addresses: Iterable<string>) => {
    if ([...addresses].some((address) => refused.has(address))) throw new Error('EBUSY');
    return { deleted: 1, seen: 1 };
  };
  cutting = startCutting({ deleteByAddress }, log, { onCut: (addresses) => cut.push(...addresses), onHeld: (addresses) => held.push(...addresses) });
});
afterEach(() => {
  cutting.close();
  vi.useRealTimers();
});

test('an address whose connections cannot be cut is not released, is tried again, and keeps no other', async () => {
  refused = new Set([one]);
  cutting.cut([one, two]);
  await vi.advanceTimersByTimeAsync(0);
  expect([cut, held, told]).toEqual([[], [one, two], ['error']]);
  await vi.advanceTimersByTimeAsync(1000);
  expect(cut).toEqual([two]);
  await vi.advanceTimersByTimeAsync(600_000);
  expect([cut, told]).toEqual([[two], ['error', 'info']]);
  refused.clear();
  await vi.advanceTimersByTimeAsync(30_000);
  expect([cut, told]).toEqual([
    [two, one],
    ['error', 'info', 'info'],
  ]);
});

test('what is closed releases nothing', async () => {
  refused = new Set([one]);
  cutting.cut([one]);
  await vi.advanceTimersByTimeAsync(0);
  cutting.close();
  refused.clear();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(cut).toEqual([]);
});
