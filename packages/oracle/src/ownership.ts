// Which endpoint owns an address that several endpoints of a host name. Computed anew for every question.
import { type Address, type Prefix, readAddress, readPrefix, within } from './address.ts';

/** What an endpoint claims for itself. */
export type Claimant = {
  readonly key: string;
  readonly host: string;
  /** Decides between endpoints that were created at the same time: the lower one wins. */
  readonly id: string;
  /** Creation time in milliseconds since 1970; Infinity when the endpoint states none. */
  readonly createdMs: number;
  /** The Neutron network's id; empty when the endpoint states none. */
  readonly network: string;
  readonly prefixes: readonly Prefix[];
  /** Those of `prefixes` that are allowed address pairs. */
  readonly pairs: readonly Prefix[];
  readonly gateways: readonly Address[];
};

/** Prefixes in which no host can have an address (RFC 6890, RFC 1112, RFC 4291). */
const impossible = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4', '::/127', 'fe80::/10', 'ff00::/8'].map(
  (text) => readPrefix(text)!,
);

/** Whether the prefix holds exactly one address. */
export const isSingle = ({ family, length }: Prefix): boolean => length === (family === 4 ? 32 : 128);
const same = (one: Address, other: Address): boolean => one.family === other.family && one.bits === other.bits;

/** The addresses in the fields of Nodes and BGPPeers, with or without a prefix length. Values that are not addresses are skipped. */
export function reservedBy(texts: readonly unknown[]): readonly Address[] {
  return texts.flatMap((text) => (typeof text === 'string' ? (readAddress(text.split('/')[0]!) ?? []) : []));
}

/** Whether no workload may have the address: no host can have it, or a Node or a BGP peer has it. */
export const isForbidden = (address: Address, reserved: readonly Address[]): boolean =>
  impossible.some((prefix) => within(prefix, address)) || reserved.some((each) => same(each, address));

/**
 * The endpoint of a host that owns the address; undefined when nobody does.
 * A fixed address beats an allowed address pair, then the older endpoint wins, then the lower id.
 */
export function ownerOf(address: Address, host: string, claimants: readonly Claimant[], reserved: readonly Address[]): Claimant | undefined {
  if (isForbidden(address, reserved)) return undefined;
  const isPair = ({ pairs }: Claimant): boolean => pairs.some((pair) => same(pair, address));
  const here = claimants.filter((claimant) => claimant.host === host);
  const naming = here.filter(({ prefixes }) => prefixes.some((prefix) => isSingle(prefix) && same(prefix, address)));
  const [first] = naming.sort(
    (one, other) =>
      Number(isPair(one)) - Number(isPair(other)) ||
      (one.createdMs === other.createdMs ? 0 : one.createdMs < other.createdMs ? -1 : 1) ||
      Buffer.compare(Buffer.from(one.id), Buffer.from(other.id)),
  );
  // A gateway belongs to the host: no endpoint of its network can have it as a pair.
  if (first && isPair(first) && here.some(({ network, gateways }) => network === first.network && gateways.some((gateway) => same(gateway, address))))
    return undefined;
  return first;
}

/** Whether the address belongs to an endpoint, is a gateway or may belong to nobody. If so, a spoofable prefix around it does not permit anybody to send from it. */
export const isSomebodys = (address: Address, host: string, claimants: readonly Claimant[], reserved: readonly Address[]): boolean =>
  isForbidden(address, reserved) ||
  ownerOf(address, host, claimants, reserved) !== undefined ||
  claimants.some((claimant) => claimant.host === host && claimant.gateways.some((gateway) => same(gateway, address)));
