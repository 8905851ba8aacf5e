import { expect, test } from 'vitest';
import type { Content } from './bird/file.ts';
import { doubtProblem, sessionDoubts } from './doubts.ts';

const madeMs = Date.UTC(2026, 0, 1);
const session = (name: string): string => `protocol bgp '${name}'\n{\n  neighbor 192.0.2.9 port 179 as 64512;\n}\n`;
const text = (...names: string[]): string => names.map(session).join('');

const contentOf = (whole: string): Content => ({ parts: [Buffer.from(whole)] });
const content = (...names: string[]): Content => contentOf(text(...names));

type Facts = {
  readonly current: string | undefined;
  readonly writtenMs: number | undefined;
  readonly operatorsWord: 'configurations' | 'peers' | 'filters' | undefined;
  readonly isOwnKnown: boolean;
};

function setUp(given: Partial<Facts> = {}) {
  const facts: Facts = { current: text('mesh4-h2'), writtenMs: madeMs - 10_000, operatorsWord: undefined, isOwnKnown: true, ...given };
  const { current, writtenMs, operatorsWord, isOwnKnown } = facts;
  const said = (kind: typeof operatorsWord) => new Map(operatorsWord === kind ? [['x', { ok: false, reason: 'torn' } as never]] : []);
  const state = { nowMs: madeMs, confirmed: [] as number[] };
  const doubts = sessionDoubts({
    file: {
      read: async () => (current === undefined ? undefined : contentOf(current)),
      writtenMs: async () => writtenMs,
      async confirmWritten(atMs) {
        await new Promise((resolve) => setImmediate(resolve));
        state.confirmed.push(atMs);
      },
    },
    ownName: 'h1',
    resources: {
      nodes: new Map(isOwnKnown ? [['h1', { ok: true, value: { name: 'h1', madeMs } as never }]] : []),
      configurations: said('configurations'),
      peers: said('peers'),
      filters: said('filters'),
    },
    clock: { nowMs: () => state.nowMs },
  });
  return { doubts, state };
}

test('a session that the datastore asks for no more is in doubt for a minute after this host’s Node was made anew', async () => {
  const { doubts, state } = setUp();
  expect(await doubts(content())).toEqual(["'mesh4-h2'"]);
  expect(await doubts(content('mesh4-h2'))).toEqual([]);
  state.nowMs = madeMs + 59_999;
  expect(await doubts(content())).toEqual(["'mesh4-h2'"]);
  expect(state.confirmed).toEqual([]);
  state.nowMs = madeMs + 60_000;
  expect(await doubts(content())).toEqual([]);
  expect(state.confirmed).toEqual([state.nowMs]); // the file counts as confirmed, so later changes of this datastore are not doubted
});

test('an operator’s session is in doubt until an operator says anything, and what is in doubt is not confirmed', async () => {
  const wordless = setUp({ current: text('peer4-tor') });
  wordless.state.nowMs = madeMs + 3_600_000;
  expect(await wordless.doubts(content())).toEqual(["'peer4-tor'"]);
  expect(wordless.state.confirmed).toEqual([]);
  for (const operatorsWord of ['configurations', 'peers', 'filters'] as const) {
    const spoken = setUp({ current: text('peer4-tor'), operatorsWord });
    spoken.state.nowMs = madeMs + 3_600_000;
    expect([operatorsWord, await spoken.doubts(content())]).toEqual([operatorsWord, []]);
  }
});

test.each([
  ['there is no configuration', { current: undefined }],
  ['nobody knows when it was written', { writtenMs: undefined }],
  ['this host’s Node is not known', { isOwnKnown: false }],
  ['this datastore has asked for it', { writtenMs: madeMs + 5000 }],
])('nothing is in doubt, and nothing confirmed, where %s', async (_, facts) => {
  const { doubts, state } = setUp(facts);
  state.nowMs = madeMs + 3_600_000;
  expect(await doubts(content())).toEqual([]);
  expect(state.confirmed).toEqual([]);
});

test('the problem names the first three sessions', () => {
  expect(doubtProblem('h1', ['a', 'b', 'c']).reason).toContain('(a, b, c)');
  expect(doubtProblem('h1', ['a', 'b', 'c', 'd']).reason).toContain('(a, b, c, …)');
  expect(doubtProblem('h1', ['a']).effect).toContain(' 60 s ');
});
