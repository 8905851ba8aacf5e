// Which of the addresses that endpoints name are theirs: worked out anew for every question, from what all endpoints of a host say.
import { type Address, type Prefix, readAddress, readPrefix, within } from './address.ts';

/** What one endpoint says of itself, as far as it is about who has what. */
export type Claimant = {
  readonly key: string;
  readonly host: string;
  /** Breaks ties between endpoints of one age. */
  readonly id: string;
  /** Milliseconds since 1970; Infinity when it tells none. */
  readonly createdMs: number;
  readonly network: string;
  readonly prefixes: readonly Prefix[];
  readonly pairs: readonly Prefix[];
  readonly gateways: readonly Address[];
};

const impossible = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4', '::/127', 'fe80::/10', 'ff00::/8'].map(
  (text) => readPrefix(text)!,
);

export const isSingle = ({ family, length }: Prefix): boolean => length === (family === 4 ? 32 : 128);
const same = (one: Address, other: Address): boolean => one.family === other.family && one.bits === other.bits;

/** The addresses of Nodes and BGPPeers, as the datastore says them. */
export function reservedBy(texts: readonly unknown[]): readonly Address[] {
  return texts.flatMap((text) => (typeof text === 'string' ? (readAddress(text.split('/')[0]!) ?? []) : []));
}

/** Nobody's to have: it is no host's, or a Node's or BGP peer's. */
export const isForbidden = (address: Address, reserved: readonly Address[]): boolean =>
  impossible.some((prefix) => within(prefix, address)) || reserved.some((each) => same(each, address));

/** Who of a host has the address; undefined: nobody. */
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
  // The host has the gateways of its networks.
  if (first && isPair(first) && here.some(({ network, gateways }) => network === first.network && gateways.some((gateway) => same(gateway, address))))
    return undefined;
  return first;
}

/** Whether somebody else than a workload with a prefix has the address: then the prefix is no permission to speak for it. */
export const isSomebodys = (address: Address, host: string, claimants: readonly Claimant[], reserved: readonly Address[]): boolean =>
  isForbidden(address, reserved) ||
  ownerOf(address, host, claimants, reserved) !== undefined ||
  claimants.some((claimant) => claimant.host === host && claimant.gateways.some((gateway) => same(gateway, address)));
