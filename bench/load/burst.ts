// A burst of changes, and a lone one in the middle of it.
import { setTimeout as sleep } from 'node:timers/promises';
import { type KeyedValue, securityGroup, workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import type { Measurement } from '../bench.ts';
import type { LoadedHost } from './loaded-host.ts';

/** Endpoints of other hosts come, in a group that a rule here lets in. */
export async function burst(loaded: LoadedHost, size: number): Promise<readonly Measurement[]> {
  const { host } = loaded;
  await host.put(securityGroup('other', [{ action: 'Allow', source: { selector: "role == 'member'" } }]));
  await loaded.start();
  const alone = await loaded.loneChangesMs();
  const changes = Array.from({ length: size }, (_, number) => elsewhere(number));
  const first = host.put(...changes.slice(0, size / 2));
  await sleep(50); // the burst is on its way
  const second = host.put(...changes.slice(size / 2));
  const tookMs = Math.round(await loaded.loneChangeMs());
  await Promise.all([first, second]);
  return [
    { metric: 'lone change before → packet, p50 ms', value: alone },
    { metric: 'lone change in the middle → packet, ms', value: tookMs, target: 1000 },
  ];
}

/** An endpoint of another host, in the group. */
export const elsewhere = (number: number, role = 'member'): KeyedValue =>
  workloadEndpoint({
    host: 'host1',
    id: `1${String(number).padStart(7, '0')}-0000-4000-8000-000000000000`,
    mac: 'fa:16:3e:00:00:01',
    addresses: [`10.${66 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`],
    labels: { role },
  });
