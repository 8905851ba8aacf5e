// Prints the lists of options in the READMEs from the parts' tables, and the list of metrics in docs/ from their registries: `npm run options`.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { optionList, type Registry } from '@calico-openstack/agent';
import { agentMetrics } from '../packages/bird-agent/src/metrics.ts';
import { options as birdAgent } from '../packages/bird-agent/src/option-table.ts';
import { agentMetrics as dhcpMetrics } from '../packages/dhcp-agent/src/metrics.ts';
import { options as dhcpAgent } from '../packages/dhcp-agent/src/option-table.ts';
import { createMetrics } from '../packages/felix/src/metrics.ts';
import { parameters } from '../packages/felix/src/option-table.ts';
import { driverMetrics } from '../packages/neutron-driver/src/metrics.ts';
import { options as neutronDriver } from '../packages/neutron-driver/src/option-table.ts';

const root = join(import.meta.dirname, '..');

const nobody = async () => [];
/** The registries of the executables that serve metrics, without values. */
export const registries: Readonly<Record<string, Registry>> = {
  'calico-felix': createMetrics('', { calculation: () => ({}) as never, tables: () => ({}) as never, routes: () => undefined }).registry,
  'calico-bird-agent': agentMetrics(nobody, nobody).registry,
  'calico-neutron-driver': driverMetrics({ unreportedMigrations: () => 0, journalEntries: () => 0 }),
  'calico-dhcp-agent': dhcpMetrics({
    ports: () => [],
    networkOf: () => undefined,
    dnsmasqs: {},
    problems: () => new Map(),
    refusals: () => 0,
    lastErrorMs: () => undefined,
  }).registry,
};

/** The fields of a metric of prom-client that its types do not declare. */
type Metric = { readonly name: string; readonly help: string; readonly type: string; readonly labelNames: readonly string[] };

/** A list of metrics in Markdown; those that several executables have are listed once. */
function metricList(): string {
  const rows = new Map<string, { readonly metric: Metric; readonly parts: string[] }>();
  for (const [part, registry] of Object.entries(registries))
    for (const metric of registry.getMetricsAsArray() as unknown as readonly Metric[]) {
      const row = rows.get(metric.name);
      if (row) row.parts.push(part);
      else rows.set(metric.name, { metric, parts: [part] });
    }
  const cells = [...rows.values()].map(({ metric: { name, help, type, labelNames }, parts }) => {
    const labels = labelNames.length > 0 ? ` \`{${labelNames.join(', ')}}\`` : '';
    return `| \`${name}\`${labels} | ${type} | ${parts.map((part) => part.slice('calico-'.length)).join(', ')} | ${help} |`;
  });
  return ['| metric | type | of | meaning |', '| --- | --- | --- | --- |', ...cells].join('\n');
}

/** The documents with a printed list, and the list that each has to have. */
export const optionLists: readonly { readonly readme: string; readonly list: string }[] = [
  { readme: join(root, 'docs/metrics.md'), list: metricList() },
  { readme: join(root, 'packages/felix/README.md'), list: optionList(parameters, { live: true }) },
  { readme: join(root, 'packages/bird-agent/README.md'), list: optionList(birdAgent) },
  { readme: join(root, 'packages/dhcp-agent/README.md'), list: optionList(dhcpAgent) },
  { readme: join(root, 'packages/neutron-driver/README.md'), list: optionList(neutronDriver) },
];

const [begin, end] = ['<!-- printed by npm run options -->', '<!-- end of what is printed -->'];

/** The document with this list between its marks. @throws Error when the marks are missing */
export function withList(text: string, list: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the README has no lines "${begin}" and "${end}" for the list`);
  return `${text.slice(0, from)}${begin}\n${list}\n${text.slice(to)}`;
}

if (import.meta.main) for (const { readme, list } of optionLists) writeFileSync(readme, withList(readFileSync(readme, 'utf8'), list));
