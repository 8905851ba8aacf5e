import { expect, test } from 'vitest';
import { CodedError } from './errors.ts';
import type { LogFields } from './log.ts';
import { printLogLine } from './log-line.ts';

const line = (message: string, fields: LogFields = {}): string => printLogLine('felix', new Date(0), { severity: 'WARNING', message, fields });

test('a line has time, severity, process, name, message and fields, and cannot be broken in two by what it quotes', () => {
  expect(line('value\nignored', { key: 'a b\n', endpoint: 'tap1', count: 3, absent: undefined, err: { code: 'X', message: 'no "way"' } })).toMatch(
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[WARNING\]\[\d+\] felix: value ignored key="a b\\n" endpoint=tap1 count=3 code=X error="no \\"way\\""$/,
  );
});

test('a field may be called like a part of the line, and takes nothing from it', () => {
  expect(line('said', { name: 'x', level: 1, pid: 0, time: 2, message: 'y' })).toMatch(/\[WARNING\]\[\d+\] felix: said name=x level=1 pid=0 time=2 message=y$/);
});

test('a line cannot be made long by what it quotes', () => {
  const long = 'x'.repeat(1_000_000);
  const said = line(long, { key: long, list: [long], err: { message: long } });
  expect(said.length).toBeLessThan(20_000);
  expect(said).toContain('(1000000 characters)');
});

test('a fault is told with what caused it, though the causes go in a circle; a sentence says enough', () => {
  const fault: Error = new TypeError('outer', { cause: new Error('inner') });
  (fault.cause as Error).cause = fault;
  expect(line('m', { err: fault })).toMatch(/ error="outer: inner"$/);
  expect(printLogLine('felix', new Date(0), { severity: 'ERROR', message: 'm', fields: { err: fault } })).toMatch(
    / stack="TypeError: outer\\n.*caused by: Error: inner/,
  );
  expect(line('m', { err: new CodedError('X', 'said', { cause: fault }) })).toMatch(/ code=X error=said$/);
});

test('whatever stands in a field, the line is printed', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const odd = { circle, big: 1n, nested: { big: 1n }, symbol: Symbol('s'), call: () => 1, nothing: null, list: [undefined], map: new Map([[1, 2]]) };
  expect(line('odd', { ...odd, err: 'text' })).toMatch(/ circle="?\(cannot be printed: .* big=1 .* nothing=null list=\[null\] map=\{\} error=text$/);
  expect(line('odd', { err: 7 })).toMatch(/ error=7$/);
  expect(line('odd', { err: null })).toMatch(/: odd$/);
});
