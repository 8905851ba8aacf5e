// A compute host with local endpoints in a cloud of others, for benches that watch packets. Any agent that reads this datastore can be measured.
import { asAdministrator, type Plugged, TestHost } from '@calico-openstack/felix/testing/host';
import { type KeyedValue, securityGroup, type TestEndpoint, workloadEndpoint } from '@calico-openstack/felix/testing/resources';

/** The ports: ALLOWED is always allowed from the client's group, TOGGLED is allowed from anywhere while the rule exists, FORBIDDEN is never allowed. */
export const [ALLOWED, TOGGLED, FORBIDDEN] = [7000, 7001, 7009] as const;

/** The nth endpoint, with its own id, MAC and address. */
export function endpoint(number: number, host: string, groups: readonly string[]): TestEndpoint {
  const hex = number.toString(16).padStart(6, '0');
  return {
    host,
    id: `${hex}00-${hex.slice(2)}-4000-8000-0000000${hex.slice(1)}`,
    mac: `fa:16:3e:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`,
    addresses: [`10.${64 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`],
    groups,
  };
}

const allow = (port: number, source: object): object => ({ action: 'Allow', ipVersion: 4, protocol: 17, source, destination: { ports: [port] } });
const fromGroup = (group: string): object => ({ selector: `has(sg.projectcalico.org/openstack-${group})` });
const sharedRules = [allow(7002, { nets: ['192.0.2.0/24'] })];

/** The group of all local endpoints, with or without the rule for TOGGLED. */
export const shared = (toggled: boolean): KeyedValue =>
  securityGroup('shared', toggled ? [allow(TOGGLED, { nets: ['0.0.0.0/0'] }), ...sharedRules] : sharedRules);

/** The host, the workload that sends, and those that it sends to. */
export type ComputeHost = {
  readonly host: TestHost;
  readonly client: Plugged;
  /** A workload that may become a member of the client's group. */
  readonly candidate: Plugged;
  readonly locals: readonly Plugged[];
  /** Plugs a further endpoint, which is not in the datastore yet. */
  plug(number: number): Promise<Plugged>;
  /** Starts the agent. @param command runs it in the foreground */
  start(command: string): void;
};

/** Makes the host, its interfaces and the datastore. No agent runs yet. Who calls this closes `host`. */
export async function openComputeHost(local: number, cluster: number): Promise<ComputeHost> {
  const host = await TestHost.open();
  try {
    const groups = Math.max(5, Math.round(cluster / 40));
    const groupOf = (number: number): string => `g${number % groups}`;
    const plug = (number: number): Promise<Plugged> => host.plug(endpoint(number, 'host0', [groupOf(number), 'shared']));
    await host.put(
      ...Array.from({ length: groups }, (_, number) =>
        securityGroup(`g${number}`, [{ action: 'Allow', ipVersion: 4, source: fromGroup(`g${number}`) }, allow(ALLOWED, fromGroup('client'))]),
      ),
      securityGroup('client', []),
      securityGroup('quiet', []),
      shared(false),
      ...Array.from({ length: cluster }, (_, number) => workloadEndpoint(endpoint(100_000 + number, `host${1 + (number >> 5)}`, [groupOf(number), 'common']))),
    );
    const client = await host.plug(endpoint(1, 'host0', ['client']));
    const candidate = await host.plug(endpoint(2, 'host0', ['quiet']));
    const locals: Plugged[] = [];
    for (let number = 0; number < local; number += 1) locals.push(await plug(256 + number));
    await host.put(workloadEndpoint(client), workloadEndpoint(candidate), ...locals.map(workloadEndpoint));
    const start = (command: string): void => host.startAgent(['sh', '-c', `exec ${command}`], { FELIX_LOGSEVERITYSCREEN: 'WARNING', ...asAdministrator });
    return { host, client, candidate, locals, plug, start };
  } catch (error) {
    await host.close();
    throw error;
  }
}
