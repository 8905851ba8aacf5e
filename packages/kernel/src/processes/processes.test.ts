import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { allProcesses, commandOf, environmentOf, isAlive, memoryOf, networkNamespaceOf, processFacts } from './processes.ts';

test('a process is seen with its command, environment and parent for as long as it lives, and a successor with its pid is another', async () => {
  // Brackets and spaces in the program's name must not move the fields behind it.
  const directory = mkdtempSync(join(tmpdir(), 'processes-'));
  const program = join(directory, 'a) Z 1 (b');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['60'], { env: { MARK: 'this' }, stdio: 'ignore' });
  try {
    await once(child, 'spawn');
    const pid = child.pid!;
    const facts = processFacts(pid)!;
    expect(facts).toMatchObject({ pid, parent: process.pid, zombie: false });
    expect(commandOf(pid)).toEqual([program, '60']);
    expect(environmentOf(pid)).toContain('MARK=this');
    expect(networkNamespaceOf(pid)).toBe(networkNamespaceOf('self'));
    expect(allProcesses().map((each) => each.pid)).toContain(pid);
    expect([isAlive(facts), isAlive({ ...facts, startTicks: facts.startTicks + 1 })]).toEqual([true, false]);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect([isAlive(facts), processFacts(pid), commandOf(pid), networkNamespaceOf(pid)]).toEqual([false, undefined, [], undefined]);
    expect(memoryOf(pid)).toEqual({ residentBytes: 0, peakBytes: 0, proportionalBytes: 0 });
  } finally {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  }
});

test('memory and CPU time are those of the process', () => {
  const { residentBytes, peakBytes, proportionalBytes } = memoryOf(process.pid);
  expect(residentBytes).toBeGreaterThan(10_000_000);
  expect(peakBytes).toBeGreaterThanOrEqual(residentBytes);
  expect(proportionalBytes).toBeGreaterThan(10_000_000);
  expect(proportionalBytes).toBeLessThan(2 * residentBytes);
  expect(processFacts(process.pid)!.cpuMs).toBeGreaterThan(0);
});
