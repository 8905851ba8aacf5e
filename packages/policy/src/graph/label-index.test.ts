import { expect, test } from 'vitest';
import { canonical, type Selector } from '../selector/canonical.ts';
import { parseExpression } from '../selector/parse.ts';
import { covers } from '../selector/requirements.ts';
import { LabellingIndex, SelectorIndex } from './label-index.ts';
import { LabelTable } from './labels.ts';
import { Matching } from './matching.ts';

const selector = (text: string): Selector => {
  const expression = parseExpression(text);
  if (!expression.ok) throw new Error(expression.reason);
  return canonical(expression.value);
};

test('a labelling meets the selectors that its labels touch, although all of them name the label that everybody has', () => {
  const table = new LabelTable();
  const index = new SelectorIndex<number>();
  for (let group = 0; group < 1000; group += 1) index.add(group, covers(selector(`has(sg-${group}) && ns == 'openstack'`).expression));
  const met = new Set(index.candidates(table.acquire(['ns', 'openstack', 'sg-500', 'x'])));
  expect(met).toContain(500);
  expect(met.size).toBeLessThan(5);
});

test('a selector meets the labellings that have the rarest label that it demands', () => {
  const table = new LabelTable();
  const index = new LabellingIndex();
  for (let number = 0; number < 1000; number += 1) index.add(table.acquire(['ns', 'openstack', `sg-${number}`, 'x', 'even', `${number % 2}`]));
  expect([...index.find(covers(selector("has(sg-7) && ns == 'openstack' && even == '1'").expression))]).toHaveLength(1);
  expect([...index.find(covers(selector("sg-7 == 'x' || sg-8 == 'x' || sg-8 == 'y'").expression))]).toHaveLength(2);
  expect([...index.find(covers(selector("ns != 'x'").expression))]).toHaveLength(1000);
});

test('labellings that are gone, or gone and back, are found as they are', () => {
  const table = new LabelTable();
  const index = new LabellingIndex();
  const labellings = Array.from({ length: 10 }, (_, number) => table.acquire(['a', 'x', 'n', `${number}`]));
  for (const labelling of labellings) index.add(labelling);
  for (const labelling of labellings.slice(0, 8)) index.delete(labelling);
  index.delete(labellings[0]!);
  for (const labelling of labellings.slice(0, 2)) index.add(labelling);
  expect(new Set(index.find([[{ label: 'a' }]]))).toEqual(new Set([0, 1, 8, 9].map((number) => labellings[number])));
  expect([...index.find([[{ label: 'a', value: 'x' }]])]).toHaveLength(4);
  for (const number of [0, 1, 8, 9]) index.delete(labellings[number]!);
  expect([...index.find([[{ label: 'a' }]])]).toEqual([]);
  expect([...index.find([])]).toEqual([]);
});

test('equal selectors are one, and stay while one user is left', () => {
  const table = new LabelTable();
  const matching = new Matching<string>();
  const labelling = table.acquire(['a', 'x']);
  matching.addUser(selector("a == 'x'"), 'first');
  matching.addLabelling(labelling);
  matching.addUser(selector("a=='x'"), 'second');
  matching.addUser(selector('has(b)'), 'other');
  expect(matching.selectorCount).toBe(2);
  expect([...matching.usersOf(labelling)]).toEqual(['first', 'second']);
  matching.removeUser(selector("a == 'x'"), 'first');
  expect([...matching.usersOf(labelling)]).toEqual(['second']);
  matching.removeUser(selector("a == 'x'"), 'second');
  expect([...matching.usersOf(labelling)]).toEqual([]);
  expect(matching.selectorCount).toBe(1);
});

test('selectors and labellings that come and go leave nothing behind', () => {
  const table = new LabelTable();
  const matching = new Matching<number>();
  const labellings = ['x', 'y', 'z'].map((value) => table.acquire(['a', value, 'b', '']));
  for (const labelling of labellings) matching.addLabelling(labelling);
  const selectors = ["a == 'x'", 'has(b)', 'all()', "a in {'x', 'y'}", "a == 'x' || has(b)"].map(selector);
  for (const round of [0, 1, 2]) {
    selectors.forEach((one, user) => {
      matching.addUser(one, user);
    });
    expect(matching.matchCount, `round ${round}`).toBe(1 + 3 + 3 + 2 + 3);
    matching.removeLabelling(labellings[0]!);
    expect(matching.matchCount).toBe(0 + 2 + 2 + 1 + 2);
    matching.addLabelling(labellings[0]!);
    selectors.forEach((one, user) => {
      matching.removeUser(one, user);
    });
    expect(matching.matchCount).toBe(0);
  }
});

test('labels and labellings that nobody carries are forgotten', () => {
  const table = new LabelTable();
  const [one, same] = [table.acquire(['a', 'x', 'b', 'y']), table.acquire(['b', 'y', 'a', 'x'])];
  expect(same).toBe(one);
  table.release(one);
  expect(table.size).toBe(1);
  table.release(one);
  expect(table.size).toBe(0);
  expect(table.acquire(['a', 'x', 'b', 'y'])).not.toBe(one);
});
