import { describe, expect, test } from 'vitest';
import { ComparisonSchedule } from './comparisons.ts';

const never = { tablesMs: 0, devicesMs: 0 };
const both = { tablesMs: 1000, devicesMs: 700 };
const nothing = { tables: false, devices: false };

describe('the intervals', () => {
  test('begin with the first question, and each ends at its own time', () => {
    const schedule = new ComparisonSchedule();
    expect(schedule.takeDue(5000, both)).toEqual(nothing);
    expect(schedule.restMs(5000, both)).toBe(700);
    expect(schedule.takeDue(5699, both)).toEqual(nothing);
    expect(schedule.takeDue(5700, both)).toEqual({ tables: false, devices: true });
    expect(schedule.restMs(5700, both)).toBe(300);
    expect(schedule.takeDue(6000, both)).toEqual({ tables: true, devices: false });
    expect(schedule.takeDue(6000, both)).toEqual(nothing);
    expect(schedule.restMs(6000, both)).toBe(400);
  });

  test('of 0 is never, and nothing is waited for', () => {
    const schedule = new ComparisonSchedule();
    expect(schedule.takeDue(0, never)).toEqual(nothing);
    expect(schedule.takeDue(1e9, never)).toEqual(nothing);
    expect(schedule.restMs(1e9, never)).toBe(Number.POSITIVE_INFINITY);
  });

  test('that are made shorter count from the last comparison', () => {
    const schedule = new ComparisonSchedule();
    schedule.takeDue(0, { tablesMs: 3_600_000, devicesMs: 0 });
    expect(schedule.takeDue(4999, { tablesMs: 5000, devicesMs: 0 })).toEqual(nothing);
    expect(schedule.restMs(4999, { tablesMs: 5000, devicesMs: 0 })).toBe(1);
    expect(schedule.takeDue(5000, { tablesMs: 5000, devicesMs: 0 }).tables).toBe(true);
  });

  test('may be as short as a clock can tell', () => {
    const schedule = new ComparisonSchedule();
    const shortest = { tablesMs: 1, devicesMs: 0 };
    schedule.takeDue(0, shortest);
    expect(schedule.restMs(0, shortest)).toBe(1);
    expect(schedule.restMs(0, { tablesMs: 0, devicesMs: 1 })).toBe(1);
    expect(schedule.takeDue(1, shortest)).toEqual({ tables: true, devices: false });
  });

  test('that were missed are one comparison', () => {
    const schedule = new ComparisonSchedule();
    schedule.takeDue(0, both);
    expect(schedule.takeDue(10_000, both)).toEqual({ tables: true, devices: true });
    expect(schedule.takeDue(10_001, both)).toEqual(nothing);
    expect(schedule.restMs(20_000, both)).toBe(0);
  });
});

describe('changes of rules by others', () => {
  const compared = (operations: number, tookMs: number) => ({ resynced: true, operations, tookMs });

  test('have the tables compared at once, and once', () => {
    const schedule = new ComparisonSchedule();
    schedule.takeDue(0, never);
    schedule.noteStrangers();
    expect(schedule.strangersChangedRules).toBe(true);
    expect(schedule.restMs(10, never)).toBe(0);
    expect(schedule.takeDue(10, never)).toEqual({ tables: true, devices: false });
    expect(schedule.strangersChangedRules).toBe(false);
    expect(schedule.takeDue(11, never)).toEqual(nothing);
  });

  test('cost a twentieth of the time where none is about our tables', () => {
    const schedule = new ComparisonSchedule();
    schedule.noteApplied(100, compared(0, 30));
    schedule.noteStrangers();
    expect(schedule.takeDue(699, never)).toEqual(nothing);
    expect(schedule.strangersChangedRules).toBe(true);
    expect(schedule.restMs(699, never)).toBe(1);
    expect(schedule.takeDue(700, never).tables).toBe(true);
  });

  test('wait five seconds at most', () => {
    const schedule = new ComparisonSchedule();
    schedule.noteApplied(0, compared(0, 60_000));
    schedule.noteStrangers();
    expect(schedule.restMs(0, never)).toBe(5000);
  });

  test('do not wait where the last comparison found our tables touched', () => {
    const schedule = new ComparisonSchedule();
    schedule.noteApplied(100, compared(0, 30));
    schedule.noteApplied(200, compared(1, 30));
    schedule.noteStrangers();
    expect(schedule.takeDue(200, never).tables).toBe(true);
  });

  test('wait for no apply that read nothing', () => {
    const schedule = new ComparisonSchedule();
    schedule.noteApplied(100, { resynced: false, operations: 0, tookMs: 30 });
    schedule.noteStrangers();
    expect(schedule.takeDue(101, never).tables).toBe(true);
  });
});
