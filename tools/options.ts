// Prints the lists of options in the READMEs, from the parts' tables: `npm run options`.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { optionList } from '@calico-openstack/agent';
import { options as birdAgent } from '../packages/bird-agent/src/option-table.ts';
import { options as dhcpAgent } from '../packages/dhcp-agent/src/option-table.ts';
import { parameters } from '../packages/felix/src/option-table.ts';
import { options as neutronDriver } from '../packages/neutron-driver/src/option-table.ts';

const root = join(import.meta.dirname, '..');

/** The READMEs that hold a list of options, and what it has to be. */
export const optionLists: readonly { readonly readme: string; readonly list: string }[] = [
  { readme: join(root, 'packages/felix/README.md'), list: optionList(parameters, { live: true }) },
  { readme: join(root, 'packages/bird-agent/README.md'), list: optionList(birdAgent) },
  { readme: join(root, 'packages/dhcp-agent/README.md'), list: optionList(dhcpAgent) },
  { readme: join(root, 'packages/neutron-driver/README.md'), list: optionList(neutronDriver) },
];

const [begin, end] = ['<!-- printed by npm run options -->', '<!-- end of what is printed -->'];

/** A README with this list between its marks. @throws when the marks are not there */
export function withList(text: string, list: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the README has no lines "${begin}" and "${end}" for the list`);
  return `${text.slice(0, from)}${begin}\n${list}\n${text.slice(to)}`;
}

if (import.meta.main) for (const { readme, list } of optionLists) writeFileSync(readme, withList(readFileSync(readme, 'utf8'), list));
