import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { remainsOf, takeDown } from './down.ts';

const prefix = `t${process.pid}mix`;
afterEach(() => takeDown(prefix, { force: true }));

/** Runs the command to its end. */
async function mixes(...options: readonly string[]): Promise<{ readonly status: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'mixes.ts'), '--prefix', prefix, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, said };
}

const ours = (name: string): string => `'${join(import.meta.dirname, '../node_modules/.bin', name)}'`;

test('parts that are given by their commands tell the story in every mix, and one that does not run is named', { timeout: 1_800_000 }, async () => {
  const { status, said } = await mixes('--felix', ours('calico-felix'), '--dhcp-agent', `echo broken >&2; exec false`);
  expect(said).toContain('Felix theirs, DHCP agent ours, driver ours: the story holds');
  expect(said).toMatch(/Felix ours, DHCP agent theirs, driver ours: .*/);
  expect(said).not.toMatch(/DHCP agent theirs, driver ours: the story holds/);
  expect(status).toBe(1);
  expect(remainsOf(prefix)).toEqual([]);
});

test.each([[], ['--driver', '/nowhere'], ['--what']])('options that are none are told, with those that are: %s', async (...options) => {
  const { status, said } = await mixes(...options);
  expect(status).toBe(2);
  expect(said).toContain('Usage: npm run mixes');
});
