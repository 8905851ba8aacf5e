import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Resolution, Table } from '@calico-openstack/agent';
import { afterAll, expect, test } from 'vitest';
import { options as birdAgent, readOptions as readBirdAgent } from '../packages/bird-agent/src/option-table.ts';
import { options as dhcpAgent, readOptions as readDhcpAgent } from '../packages/dhcp-agent/src/option-table.ts';
import { parameters } from '../packages/felix/src/option-table.ts';
import { localSources, resolveParameters } from '../packages/felix/src/settings.ts';
import { options as neutronDriver, readOptions as readNeutronDriver } from '../packages/neutron-driver/src/option-table.ts';
import { exampleConfiguration } from './example.ts';

const directory = mkdtempSync(join(tmpdir(), 'example-'));
afterAll(() => rmSync(directory, { recursive: true }));

test.each<[string, Table, (files: readonly string[]) => Resolution<Table>]>([
  ['calico-felix', parameters, (files) => resolveParameters(localSources(files, {}))],
  ['calico-bird-agent', birdAgent, (files) => readBirdAgent(files, {})],
  ['calico-dhcp-agent', dhcpAgent, (files) => readDhcpAgent(files, {})],
  ['calico-neutron-driver', neutronDriver, (files) => readNeutronDriver(files, {})],
])('the example of %s has every option; with all of them in force, the values are the defaults and nothing is complained of', (name, table, read) => {
  const example = exampleConfiguration(name, table);
  const file = join(directory, `${name}.conf`);
  writeFileSync(file, example);
  const untouched = read([file]);
  expect([untouched.setBy.size, untouched.complaints]).toEqual([0, []]);
  // Options whose default is described in words, or that have none, stay as they are.
  const uncommented = example.replaceAll(/^#(\w+ = \S.*)$/gm, (line, option: string) => (option.includes('(default: ') ? line : option));
  writeFileSync(file, uncommented);
  const { values, complaints, setBy } = read([file]);
  expect(complaints).toEqual([]);
  expect(setBy.size).toBeGreaterThan(Object.keys(table).length / 2);
  expect(values).toEqual(untouched.values);
  for (const key of Object.keys(table)) expect(example).toMatch(new RegExp(`^#\\w*${key.replace(/^.*\//, '')} = `, 'mi'));
});
