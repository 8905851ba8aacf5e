// Where etcd is, by the addresses that its endpoints' names have now.
import { lookup } from 'node:dns/promises';
import { type IpAddress, parseAddress } from '@calico-openstack/addresses';

export interface DatastoreAddresses {
  /** As last found, in order. */
  readonly addresses: readonly IpAddress[];
  /** Looks names up anew when they have not been for a while; one that is not found has the addresses that it had. Never rejects. */
  refresh(): Promise<void>;
}

const lookupMs = 60_000;

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

/** None where the name is not known (now). */
async function resolve(name: string): Promise<readonly IpAddress[]> {
  try {
    return (await lookup(name, { all: true })).flatMap(({ address }) => parseAddress(address) ?? []);
  } catch {
    return [];
  }
}
