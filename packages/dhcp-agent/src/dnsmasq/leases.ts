// Reads Dnsmasq's lease file, which has a line for each lease, with blanks between the fields.
import { type IpAddress, parseAddress, parseMac } from '@calico-openstack/addresses';

/** A leased address. */
export type Lease = {
  readonly address: IpAddress;
  /** The client's MAC; undefined for a client of another kind of hardware than Ethernet. */
  readonly mac: string | undefined;
};

/** Parses `expires mac address hostname client-id`. undefined for any other line. */
function parseLease(line: string): Lease | undefined {
  const fields = line.split(' ');
  const address = parseAddress(fields[2] ?? '');
  if (fields.length < 5 || !/^\d+$/.test(fields[0]!) || address === undefined) return undefined;
  return { address, mac: parseMac(fields[1]!) };
}

/** All leases of a lease file; other lines are skipped. */
export const parseLeases = (text: string): readonly Lease[] => text.split('\n').flatMap((line) => parseLease(line) ?? []);

/** The lease file without the leases that `keep` rejects. Everything else stays. The result may be written only while Dnsmasq is not running. */
export const pruneLeases = (text: string, keep: (lease: Lease) => boolean): string =>
  text
    .split('\n')
    .filter((line) => {
      const lease = parseLease(line);
      return lease === undefined || keep(lease);
    })
    .join('\n');
