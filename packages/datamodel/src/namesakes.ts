// How an agent notices that the cloud knows its host under another name: Nova takes the system's host name as it is written, agents in lower case, and one of the two may have a domain.
import { hostEndpointsPrefix, parseResourceKey, resourcePrefix } from './keys.ts';
import { parseWorkloadEndpointName, workloadEndpointNamePrefix } from './names.ts';

/** Whether the datastore has endpoints of a host, and the other hosts with endpoints that may be the same one. */
export type Namesakes = {
  /** Whether there are endpoints for the host as it is called here. */
  readonly own: boolean;
  /** Hosts with endpoints that are called as this one but for upper and lower case, or for a domain. */
  readonly others: readonly string[];
};

const written = (name: string): readonly string[] => [name.toLowerCase(), name.toUpperCase(), name.charAt(0).toUpperCase() + name.slice(1).toLowerCase()];

/** What the names of endpoints begin with of hosts that may be `host` under another name. Of the ways to mix upper and lower case: all lower, all upper, the first letter upper. */
function namesakePrefixes(host: string): readonly string[] {
  const short = host.split('.')[0]!;
  const names = [...written(host), ...written(short)].filter((name) => name !== host);
  /** With any domain: a name ends in `-openstack-`, and what is cut off here is that end and its own beginning. */
  const withDomain = short === host ? written(host).map((name) => workloadEndpointNamePrefix(`${name}.`).replace(/-openstack-$/, '')) : [];
  return [...new Set([...names.map((name) => workloadEndpointNamePrefix(name)), ...withDomain])];
}

/**
 * Looks for endpoints of this host, and of hosts that may be this one under another name.
 * @param keysWith all keys of the datastore that begin so; rejects when they cannot be read
 */
export async function findNamesakes(region: string | undefined, host: string, keysWith: (prefix: string) => Promise<readonly string[]>): Promise<Namesakes> {
  const [ownKeys = [], ...otherKeys] = await Promise.all(
    [workloadEndpointNamePrefix(host), ...namesakePrefixes(host)].map((prefix) => keysWith(hostEndpointsPrefix(region, prefix))),
  );
  const hosts = otherKeys.flat().map((key) => parseWorkloadEndpointName(key.slice(key.lastIndexOf('/') + 1))?.host);
  return { own: ownKeys.length > 0, others: [...new Set(hosts.filter((name) => name !== undefined && name !== host))] as readonly string[] };
}

/** Whether two different names may be one host's: they differ in upper and lower case, or one of them has a domain and the other has none. */
function isNamesake(one: string, other: string): boolean {
  const [first, second] = [one.toLowerCase(), other.toLowerCase()];
  return one !== other && (first === second || first === second.split('.')[0] || second === first.split('.')[0]);
}

/**
 * Of the names of Nodes, those that may be another name of this host: the BIRD agent and selectors of FelixConfigurations go by the Node that has the host's name.
 * @param keysWith all keys of the datastore that begin so; rejects when they cannot be read
 */
export async function findNodeNamesakes(host: string, keysWith: (prefix: string) => Promise<readonly string[]>): Promise<readonly string[]> {
  const keys = await Promise.all([...new Set(written(host.split('.')[0]!))].map((name) => keysWith(`${resourcePrefix('nodes')}${name}`)));
  const names = keys.flat().flatMap((key) => parseResourceKey(key)?.name ?? []);
  return [...new Set(names)].filter((name) => isNamesake(host, name)).sort();
}
