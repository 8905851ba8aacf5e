import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { remainsOf, takeDown } from './down.ts';
import { openLab } from './lab.ts';
import { until } from './wait.ts';

const prefix = `t${process.pid}demo`;
let child: ChildProcess | undefined;

afterEach(async () => {
  child?.kill('SIGKILL');
  await takeDown(prefix, { force: true });
});

type Demo = { readonly said: () => string; readonly ended: Promise<number | NodeJS.Signals | null>; readonly process: ChildProcess };

function demo(...options: readonly string[]): Demo {
  const started = spawn(process.execPath, [join(import.meta.dirname, 'demo.ts'), '--prefix', prefix, ...options], { stdio: 'pipe' });
  child = started;
  let text = '';
  for (const stream of [started.stdout, started.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
  }
  return { said: () => text, process: started, ended: new Promise((resolve) => started.once('close', (status, signal) => resolve(status ?? signal))) };
}

const says = (run: Demo, what: string): Promise<true> =>
  until(what, () => run.said().includes(what) || undefined, {
    timeoutMs: 500_000, // the first demo makes Neutron's tables
    hopeful: () => {
      if (run.process.exitCode !== null) throw new Error(run.said());
    },
  });

test('the demo tells its story to the end, lists what it has shown, exits with 0 and leaves nothing behind', { timeout: 600_000 }, async () => {
  const run = demo();
  expect(await run.ended, run.said()).toBe(0);
  for (const line of ['Shown, in', 'client-2 pings web-1', 'does not reach TCP port 22', 'nothing of it is left', 'everything is removed'])
    expect(run.said()).toContain(line);
  for (const wrong of ['✗', '\x1b']) expect(run.said()).not.toContain(wrong); // no colours without a terminal
  expect(remainsOf(prefix)).toEqual([]);
});

test('a demo that is interrupted in the middle of its story exits with 130 and leaves nothing behind', { timeout: 600_000 }, async () => {
  const run = demo();
  await says(run, '\n3. ');
  run.process.kill('SIGINT');
  expect(await run.ended, run.said()).toBe(130);
  expect(remainsOf(prefix)).toEqual([]);
});

test('a claim that does not hold ends the demo with exit status 1 and the reason; with --keep, everything stays up', { timeout: 600_000 }, async () => {
  const run = demo('--keep');
  await says(run, '\n2. ');
  const lab = openLab(prefix);
  await lab.processes.run('nft', ['-f', '-'], {
    on: lab.plan.hosts[0]!,
    input: 'table ip broken { chain c { type filter hook forward priority 0; ip protocol icmp drop; }; }',
  });
  expect(await run.ended, run.said()).toBe(1);
  expect(run.said()).toContain('✗ client-1 pings web-1');
  expect(run.said()).toMatch(/It should be so: client-1 pings web-1, on the same host\. What was seen: IPv4 0 of 3 answered/);
  expect(run.said()).toContain(`npm run lab -- down --prefix ${prefix}`);
  expect(openLab(prefix).hosts.every(({ felix }) => felix?.pid() !== undefined)).toBe(true);

  const again = demo();
  expect(await again.ended).toBe(1);
  expect(again.said()).toContain(`there is a lab called ${prefix} already`);
});

test.each([['--kep'], ['--prefix', 'No!']])('unknown options are reported together with the known ones: %s', async (...options) => {
  const run = demo(...options);
  expect(await run.ended).toBe(2);
  expect(run.said()).toContain('Usage: ./demo');
});
