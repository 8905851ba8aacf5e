// The addresses that the cloud itself uses: those of Nodes, etcd, BGP peers, and hosts in sessions with workloads. Pure.
import { type IpAddress, parseAddress } from '@calico-openstack/addresses';
import { decodeJsonObject, type Fields, isFields, reservationsOfBgpConfiguration } from '@calico-openstack/datamodel';
import { placeOf, type Span } from './span.ts';

/** An address of the cloud's own. */
export type HeldAddress = {
  readonly address: IpAddress;
  /** The address's use, as a phrase for tenants that follows "is" or "which is". */
  readonly what: string;
  /** Its exact owner, for the log only. */
  readonly which: string;
};

/** All addresses of the cloud's own. */
export interface Infrastructure {
  readonly size: number;
  /** All of them, in order. */
  readonly addresses: readonly IpAddress[];
  at(address: IpAddress): HeldAddress | undefined;
  /** The first one within a span. */
  within(span: Span): HeldAddress | undefined;
}

/** Indexes these addresses. The first holder of an address counts. */
export function infrastructureOf(held: Iterable<HeldAddress>): Infrastructure {
  const byAddress = new Map<IpAddress, HeldAddress>();
  for (const one of held) if (!byAddress.has(one.address)) byAddress.set(one.address, one);
  const sorted = [...byAddress.values()].map((one) => ({ place: placeOf(one.address), one })).sort((a, b) => (a.place < b.place ? -1 : 1));
  return {
    size: byAddress.size,
    addresses: sorted.map(({ one }) => one.address),
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

/** A cloud without any addresses of its own. */
export const noInfrastructure: Infrastructure = infrastructureOf([]);

/** The name of a resource and its value in etcd. */
export type NamedValue = { readonly name: string; readonly value: Uint8Array };

/** The addresses of a Node: those for BGP, those of its tunnels, and those in `spec.addresses`. */
export function nodeAddresses({ name, value }: NamedValue): readonly HeldAddress[] {
  const spec = specOf(value);
  const bgp = fieldsOf(spec['bgp']);
  const others = Array.isArray(spec['addresses']) ? spec['addresses'].map((entry) => fieldsOf(entry)['address']) : [];
  const texts = [bgp['ipv4Address'], bgp['ipv6Address'], bgp['ipv4IPIPTunnelAddr'], spec['ipv4VXLANTunnelAddr'], spec['ipv6VXLANTunnelAddr'], ...others];
  return addressesIn(texts, 'an address of a host of this cloud', `Node ${name}`);
}

/** The peer's address of a BGPPeer; none when the BGPPeer selects Nodes instead. */
export function bgpPeerAddresses({ name, value }: NamedValue): readonly HeldAddress[] {
  return addressesIn([specOf(value)['peerIP']], 'a BGP peer of this cloud', `BGPPeer ${name}`);
}

/** The addresses that every host has in BGP sessions with its workloads: `localWorkloadPeeringIPV4` and `localWorkloadPeeringIPV6` of BGPConfiguration `default`. */
export const workloadPeeringAddresses = ({ name, value }: NamedValue): readonly HeldAddress[] =>
  addressesIn([...reservationsOfBgpConfiguration(name, value).keys()], 'an address of every host of this cloud', `BGPConfiguration ${name}`);

/** The addresses of an etcd endpoint. */
export const etcdAddresses = (addresses: readonly string[], endpoint: string): readonly HeldAddress[] =>
  addressesIn(addresses, "an endpoint of this cloud's etcd", `etcd ${endpoint}`);

function addressesIn(texts: readonly unknown[], what: string, which: string): HeldAddress[] {
  return texts.flatMap((text) => {
    const address = typeof text === 'string' ? addressIn(text) : undefined;
    return address ? [{ address, what, which }] : [];
  });
}

/** The address in `10.0.0.1`, `10.0.0.1/24`, `10.0.0.1:179` or `[2001:db8::1]:179`. */
function addressIn(text: string): IpAddress | undefined {
  const bare = text.split('/', 1)[0]!;
  return parseAddress(bare) ?? parseAddress(/^\[(.*)\](?::\d+)?$/.exec(bare)?.[1] ?? bare.replace(/:\d+$/, ''));
}

function specOf(value: Uint8Array): Fields {
  const object = decodeJsonObject(value);
  return object.ok ? fieldsOf(object.value['spec']) : {};
}

const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {});
