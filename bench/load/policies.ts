// Many policies that govern endpoints of this host: they come at once, change at once, and go at once.
import { type KeyedValue, networkPolicyKey, securityGroup, workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import type { Measurement } from '../bench.ts';
import { type LoadedHost, localEndpoint, plugAll } from './loaded-host.ts';

const perEndpoint = 100;
const atOnce = 100;

/** Each endpoint has a hundred groups of its own. */
export async function policies(loaded: LoadedHost, size: number): Promise<readonly Measurement[]> {
  const { host } = loaded;
  const endpoints = Array.from({ length: size / perEndpoint }, (_, number) =>
    localEndpoint(
      number,
      Array.from({ length: perEndpoint }, (_, group) => `p${number * perEndpoint + group}`),
    ),
  );
  await plugAll(host, endpoints);
  await host.put(...endpoints.map(workloadEndpoint));
  await loaded.start();
  const groups = Array.from({ length: size }, (_, number) => `p${number}`);
  const write = (port: number) => (): Promise<void> => host.put(...groups.map((group) => allowing(group, port)));
  /** A mass of changes, and a lone one while it is on its way. */
  const beside = async (mass: () => Promise<void>): Promise<number> => {
    const acting = mass();
    const took = await loaded.loneChangeMs();
    await acting;
    return Math.round(took);
  };
  const results: Measurement[] = [
    { metric: 'lone change while they come → packet, ms', value: await beside(write(7000)), target: 1000 },
    { metric: 'lone change beside them → packet, p50 ms', value: await loaded.loneChangesMs() },
    { metric: 'lone change while all change → packet, ms', value: await beside(write(7001)), target: 1000 },
  ];
  const remove = async (): Promise<void> => {
    for (let first = 0; first < size; first += atOnce)
      await host.delete(...groups.slice(first, first + atOnce).map((group) => networkPolicyKey(`ossg.default.${group}`)));
  };
  results.push({ metric: 'lone change while they go → packet, ms', value: await beside(remove) });
  return results;
}

const allowing = (group: string, port: number): KeyedValue => securityGroup(group, [{ action: 'Allow', protocol: 'TCP', destination: { ports: [port] } }]);
