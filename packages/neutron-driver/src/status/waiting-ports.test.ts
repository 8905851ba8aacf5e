import { expect, test } from 'vitest';
import { WaitingPorts } from './waiting-ports.ts';

const burst = Array.from({ length: 5000 }, (_, index) => `p${index}`);

test('in a burst, the newest has the next turn, and the oldest are not kept waiting by newer ones', () => {
  const waiting = new WaitingPorts();
  for (const port of burst) waiting.add(port);
  const before = waiting.take();
  for (const port of before) waiting.addAgain(port);
  waiting.add('new');
  expect(waiting.take()[0]).toBe('new');
  let turns = 0;
  for (let taken: string[] = []; !taken.includes('p60'); turns += 1) {
    for (let count = 0; count < 100; count += 1) waiting.add(`newer ${turns} ${count}`);
    taken = waiting.take();
  }
  expect(turns).toBeLessThan(5);
});

test('each port has its turn once for all its news, and one that is looked at once more has it also in a burst', () => {
  const waiting = new WaitingPorts();
  for (const port of ['a', 'b', 'a']) waiting.add(port);
  waiting.addAgain('a');
  waiting.addAgain('c');
  expect([waiting.size, waiting.take().sort(), waiting.size]).toEqual([3, ['a', 'b', 'c'], 0]);
  for (const port of burst) waiting.add(port);
  waiting.addAgain('c');
  expect(waiting.take()).toContain('c');
  const seen: string[] = [];
  while (waiting.size > 0) seen.push(...waiting.take());
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen).toHaveLength(5000 - 40);
});
