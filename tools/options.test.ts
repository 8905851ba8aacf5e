import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { calicoSectionNames } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { options as dhcpAgent } from '../packages/dhcp-agent/src/option-table.ts';
import { options as neutronDriver } from '../packages/neutron-driver/src/option-table.ts';
import { optionLists, withList } from './options.ts';

test.each(optionLists.map(({ readme, list }) => [relative('.', readme), readme, list] as const))(
  'the options in %s are those of the table (npm run options)',
  (_, readme, list) => {
    const text = readFileSync(readme, 'utf8');
    expect(text).toBe(withList(text, list));
  },
);

test('another list would be noticed, and a README without a place for it refused', () => {
  const text = readFileSync(optionLists[0]!.readme, 'utf8');
  expect(withList(text, '| another |')).not.toBe(text);
  expect(() => withList('# felix', '')).toThrow('has no lines');
});

test('the names that are known in section [calico] of neutron.conf are those of the tables', () => {
  const names = [...Object.values(dhcpAgent), ...Object.values(neutronDriver)].flatMap(({ names: { conf = [] } }) => conf);
  const inCalico = names.filter((name) => name.startsWith('calico/')).map((name) => name.slice('calico/'.length));
  expect([...new Set(inCalico)].sort()).toEqual([...calicoSectionNames].sort());
  const python = readFileSync(join(import.meta.dirname, '../neutron/calico_openstack/options.py'), 'utf8');
  const registered = [...python.matchAll(/cfg\.\w+Opt\("(\w+)"/g)].map(([, name]) => name!);
  expect(registered.length).toBeGreaterThan(0);
  for (const name of registered) expect(calicoSectionNames).toContain(name);
});
