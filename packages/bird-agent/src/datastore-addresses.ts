// Resolves the names of etcd's endpoints to addresses.
import { lookup } from 'node:dns/promises';
import { type IpAddress, parseAddress } from '@calico-openstack/addresses';

/** The addresses of etcd. */
export interface DatastoreAddresses {
  /** The addresses as they were last found, sorted. */
  readonly addresses: readonly IpAddress[];
  /** Resolves names again if that was done a while ago. A name that cannot be resolved keeps its addresses. Never rejects. */
  refresh(): Promise<void>;
}

const lookupMs = 60_000;

/** The addresses of etcd with these endpoints (URLs). */
export function datastoreAddresses(
  endpoints: readonly string[],
  nowMs: () => number = () => performance.now(),
  find: typeof resolve = resolve,
): DatastoreAddresses {
  const hosts = endpoints.flatMap((endpoint) => (URL.canParse(endpoint) ? [new URL(endpoint).hostname.replace(/^\[(.*)\]$/, '$1')] : []));
  const found = new Map<string, readonly IpAddress[]>();
  const names: string[] = [];
  for (const host of hosts) {
    const address = parseAddress(host);
    if (address) found.set(host, [address]);
    else names.push(host);
  }
  let lookedMs = Number.NEGATIVE_INFINITY;
  return {
    get addresses() {
      return [...new Set([...found.values()].flat())].sort();
    },
    async refresh() {
      if (names.length === 0 || nowMs() < lookedMs + lookupMs) return;
      lookedMs = nowMs();
      for (const name of names) {
        const addresses = await find(name);
        if (addresses.length > 0) found.set(name, addresses);
      }
    },
  };
}

/** The addresses of a name; none when it cannot be resolved now. */
async function resolve(name: string): Promise<readonly IpAddress[]> {
  try {
    return (await lookup(name, { all: true })).flatMap(({ address }) => parseAddress(address) ?? []);
  } catch {
    return [];
  }
}
