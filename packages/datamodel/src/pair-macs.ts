// The MACs of allowed address pairs that differ from the port's MAC. The driver writes them into an annotation.
import { type Cidr, parseCidr, parseMac } from '@calico-openstack/addresses';
import { type Decoded, decoded, isFields, parseJson, refused, show } from './resource.ts';

/** Limits far above what Neutron's quotas allow for a port. */
const textMax = 256 * 1024;
const macsMax = 16;

/**
 * Decodes the value of `addressPairMacsAnnotation`: JSON `{"<address or prefix>": ["<MAC>", …]}`. The result maps each prefix to its MACs in canonical text.
 * When anything in it is not understood, the whole text is refused with the reason. Then all pairs have the port's own MAC.
 */
export function decodePairMacs(text: string): Decoded<ReadonlyMap<Cidr, readonly string[]>> {
  if (text.length > textMax) return refused(`has ${text.length} characters; ${textMax} are the most`);
  const parsed = parseJson(text);
  if (!parsed.ok) return parsed;
  if (!isFields(parsed.value)) return refused('is not a JSON object');
  const byAddress = new Map<Cidr, readonly string[]>();
  for (const [address, value] of Object.entries(parsed.value)) {
    const cidr = parseCidr(address);
    if (!cidr) return refused(`names ${show(address)}, which is not an address or prefix`);
    if (!Array.isArray(value) || value.length > macsMax) return refused(`has for ${address} no list of at most ${macsMax} MACs`);
    const macs = (value as unknown[]).map((mac) => (typeof mac === 'string' ? parseMac(mac) : undefined));
    const bad = macs.findIndex((mac) => mac === undefined || isGroup(mac));
    if (bad >= 0) return refused(`has for ${address} ${show(value[bad])}, which is not the MAC of one interface`);
    if (macs.length > 0) byAddress.set(cidr, [...new Set([...(byAddress.get(cidr) ?? []), ...(macs as string[])])]);
  }
  return decoded(byAddress);
}

/** Whether a MAC is multicast or broadcast: the lowest bit of its first octet is set (IEEE 802). */
const isGroup = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
