// The single addresses that the cloud itself stands on: of Nodes, of etcd and of BGP peers. Pure.
import { type IpAddress, parseAddress } from '@calico-openstack/addresses';
import { decodeJsonObject, type Fields, isFields } from '@calico-openstack/datamodel';
import { placeOf, type Span } from './span.ts';

export type HeldAddress = {
  readonly address: IpAddress;
  /** What it is, for a tenant to read: it fits behind "is" and "which is". */
  readonly what: string;
  /** Which one, for the log alone. */
  readonly which: string;
};

export interface Infrastructure {
  readonly size: number;
  at(address: IpAddress): HeldAddress | undefined;
  /** The first in a span. */
  within(span: Span): HeldAddress | undefined;
}

export function infrastructureOf(held: Iterable<HeldAddress>): Infrastructure {
  const byAddress = new Map<IpAddress, HeldAddress>();
  for (const one of held) if (!byAddress.has(one.address)) byAddress.set(one.address, one);
  const sorted = [...byAddress.values()].map((one) => ({ place: placeOf(one.address), one })).sort((a, b) => (a.place < b.place ? -1 : 1));
  return {
    size: byAddress.size,
    at: (address) => byAddress.get(address),
    within({ first, last }) {
      let [low, high] = [0, sorted.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (sorted[middle]!.place < first) low = middle + 1;
        else high = middle;
      }
      const found = sorted[low];
      return found && found.place <= last ? found.one : undefined;
    },
  };
}

export const noInfrastructure: Infrastructure = infrastructureOf([]);

export type NamedValue = { readonly name: string; readonly value: Uint8Array };

/** The addresses of a Node: those that it peers with, those of its tunnels, and what else it says that it has. */
export function nodeAddresses({ name, value }: NamedValue): readonly HeldAddress[] {
  const spec = specOf(value);
  const bgp = fieldsOf(spec['bgp']);
  const others = Array.isArray(spec['addresses']) ? spec['addresses'].map((entry) => fieldsOf(entry)['address']) : [];
  const texts = [bgp['ipv4Address'], bgp['ipv6Address'], bgp['ipv4IPIPTunnelAddr'], spec['ipv4VXLANTunnelAddr'], spec['ipv6VXLANTunnelAddr'], ...others];
  return addressesIn(texts, 'an address of a host of this cloud', `Node ${name}`);
}

/** The address at the other end; none where a selector finds it among the Nodes. */
export function bgpPeerAddresses({ name, value }: NamedValue): readonly HeldAddress[] {
  return addressesIn([specOf(value)['peerIP']], 'a BGP peer of this cloud', `BGPPeer ${name}`);
}

export const etcdAddresses = (addresses: readonly string[], endpoint: string): readonly HeldAddress[] =>
  addressesIn(addresses, "an endpoint of this cloud's etcd", `etcd ${endpoint}`);

function addressesIn(texts: readonly unknown[], what: string, which: string): HeldAddress[] {
  return texts.flatMap((text) => {
    const address = typeof text === 'string' ? addressIn(text) : undefined;
    return address ? [{ address, what, which }] : [];
  });
}

/** Of `10.0.0.1`, `10.0.0.1/24`, `10.0.0.1:179`, `[2001:db8::1]:179`: the address. */
function addressIn(text: string): IpAddress | undefined {
  const bare = text.split('/', 1)[0]!;
  return parseAddress(bare) ?? parseAddress(/^\[(.*)\](?::\d+)?$/.exec(bare)?.[1] ?? bare.replace(/:\d+$/, ''));
}

function specOf(value: Uint8Array): Fields {
  const object = decodeJsonObject(value);
  return object.ok ? fieldsOf(object.value['spec']) : {};
}

const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {});
