// The alert rules and the dashboard name metrics that the executables have. What Prometheus itself says of them is in clean.system.test.ts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { registries } from '../tools/options.ts';

const read = (file: string): string => readFileSync(join(import.meta.dirname, 'monitoring', file), 'utf8');
const known = new Set(Object.values(registries).flatMap((registry) => registry.getMetricsAsArray().map(({ name }) => name)));

test.each(['alerts.yml', 'alerts.test.yml', 'dashboard.json'])('%s names no metric that nobody has', (file) => {
  const named = new Set(read(file).match(/\b(felix|calico_bird_agent|calico_dhcp_agent|calico_neutron_driver|process)_[a-z_]+\b/g));
  expect(named.size).toBeGreaterThan(3);
  expect([...named].filter((name) => !known.has(name))).toEqual([]);
});
