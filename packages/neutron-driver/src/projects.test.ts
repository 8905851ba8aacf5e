import { expect, test } from 'vitest';
import { createProjectNames } from './projects.ts';
import type { RowsSource } from './rows.ts';

function keystone(known: Record<string, string>) {
  const asked: string[][] = [];
  const state = { away: false };
  const source: RowsSource = {
    rows: () => Promise.reject(new Error('not asked for')),
    subnets: () => Promise.reject(new Error('not asked for')),
    projects: async (ids) => {
      asked.push([...ids]);
      if (state.away) throw new Error('no Keystone');
      return ids.flatMap((id) => (known[id] === undefined ? [] : [{ id, name: known[id], parent_id: 'default' }]));
    },
  };
  return { source, asked, state };
}

test('a project is asked for once, also when Keystone does not know it', async () => {
  const { source, asked } = keystone({ a: 'A', b: 'B' });
  const names = createProjectNames({ max: 100, onFailure: () => {}, nowMs: () => 0 });
  expect([...(await names(['a', 'x'], source)).values()].map((row) => row?.name)).toEqual(['A', undefined]);
  expect([...(await names(['a', 'b', 'x'], source)).values()].map((row) => row?.name)).toEqual(['A', 'B', undefined]);
  expect(asked).toEqual([['a', 'x'], ['b']]);
});

test('more projects than the cache holds cost one question each, not all of them again', async () => {
  const { source, asked } = keystone({ a: 'A', b: 'B', c: 'C' });
  const names = createProjectNames({ max: 2, onFailure: () => {}, nowMs: () => 0 });
  for (const id of ['a', 'b', 'a', 'c', 'a']) await names([id], source);
  expect(asked).toEqual([['a'], ['b'], ['c']]);
});

test('while Keystone is away, not every call waits for it, and it is asked again later', async () => {
  const { source, asked, state } = keystone({ a: 'A' });
  let nowMs = 0;
  const failures: unknown[] = [];
  const names = createProjectNames({ max: 100, onFailure: (error) => failures.push(error), nowMs: () => nowMs });
  state.away = true;
  expect((await names(['a'], source)).size).toBe(0);
  expect((await names(['a'], source)).size).toBe(0);
  expect(asked).toHaveLength(1);
  expect(failures).toHaveLength(1);
  state.away = false;
  nowMs = 10_000;
  expect((await names(['a'], source)).get('a')?.name).toBe('A');
});

test('what was forgotten is asked for anew, so that a renamed project is followed', async () => {
  const known: Record<string, string> = { a: 'A' };
  const { source } = keystone(known);
  const names = createProjectNames({ max: 100, onFailure: () => {}, nowMs: () => 0 });
  await names(['a'], source);
  known['a'] = 'renamed';
  expect((await names(['a'], source)).get('a')?.name).toBe('A');
  names.forget();
  expect((await names(['a'], source)).get('a')?.name).toBe('renamed');
});
