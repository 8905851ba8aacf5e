import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { removeBirdAgent } from './remove.ts';

test('what the agent keeps for itself goes; BIRD’s own file and what others put there stays, and is told', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bird-remove-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'bird.conf');
  for (const name of ['bird.conf', 'bird.conf.understood', '.bird.conf.7.new', '.bird.conf.understood.7.new', 'bird.conf.mine', '.bird.conf.x.new'])
    writeFileSync(join(directory, name), '');
  const config = join(directory, 'agent.cfg');
  writeFileSync(config, `[global]\nHostname = host-1\nBirdConfigFile = ${file}\n`);
  const { removed, left } = await removeBirdAgent([config]);
  expect(removed.toSorted()).toEqual(['.bird.conf.7.new', '.bird.conf.understood.7.new', 'bird.conf.understood'].map((name) => join(directory, name)));
  expect(readdirSync(directory).toSorted()).toEqual(['.bird.conf.x.new', 'agent.cfg', 'bird.conf', 'bird.conf.mine']);
  expect(left.join('\n')).toContain(`BIRD, which goes on with ${file}`);
  expect(left.join('\n')).toContain('the Node host-1 in etcd');
  expect((await removeBirdAgent([config])).removed).toEqual([]);
});
