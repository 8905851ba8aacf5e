// A rule whose set gets many members from network sets.
import { type KeyedValue, resource, securityGroup } from '@calico-openstack/felix/testing/resources';
import type { Measurement } from '../bench.ts';
import type { LoadedHost } from './loaded-host.ts';

const perSet = 1000;

/** Network sets come, one after the other. Only with the last one may the target send to the other workload. */
export async function sets(loaded: LoadedHost, size: number): Promise<readonly Measurement[]> {
  const { host, target, sender } = loaded;
  await host.put(securityGroup('other', [{ action: 'Allow', source: { selector: "role == 'member'" } }]));
  await loaded.start();
  const values: KeyedValue[] = [];
  for (let first = 0; first < size; first += perSet)
    values.push(
      networkSet(
        `n${first}`,
        Array.from({ length: Math.min(perSet, size - first) }, (_, at) => `${addressOf(first + at)}/32`),
      ),
    );
  const tookMs = await loaded.untilArrivesMs(target, sender, 9998, async () => {
    for (const value of values) await host.put(value);
    await host.put(networkSet('last', [`${target.addresses[0]}/32`]));
  });
  return [
    { metric: 'members written → the last one’s packet, ms', value: Math.round(tookMs) },
    { metric: 'lone change beside the set → packet, p50 ms', value: await loaded.loneChangesMs() },
  ];
}

const addressOf = (number: number): string => `10.${128 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
const networkSet = (name: string, nets: readonly string[]): KeyedValue =>
  resource('NetworkSet', `networksets/openstack/${name}`, { nets }, { labels: { role: 'member', 'projectcalico.org/namespace': 'openstack' } });
