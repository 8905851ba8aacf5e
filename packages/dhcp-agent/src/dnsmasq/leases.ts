// Reads and writes Dnsmasq's lease file: IPv4 leases, then Dnsmasq's own DHCPv6 identifier, then IPv6 leases. One lease a line, fields with blanks between.
import { createHash } from 'node:crypto';
import { type IpAddress, parseAddress, parseMac } from '@calico-openstack/addresses';

/** A leased address. */
export type Lease = {
  readonly address: IpAddress;
  /** The client's MAC, of IPv4 leases only: DHCPv6 knows clients by identifiers that they choose. */
  readonly mac: string | undefined;
};

/** Parses `expires mac address hostname client-id`, for IPv6 `expires iaid address hostname duid`. undefined for any other line. */
function parseLease(line: string): Lease | undefined {
  const fields = line.split(' ');
  const address = parseAddress(fields[2] ?? '');
  if (fields.length < 5 || !/^\d+$/.test(fields[0]!) || address === undefined) return undefined;
  return { address, mac: parseMac(fields[1]!) };
}

/** All leases of a lease file; other lines are skipped. */
export const parseLeases = (text: string): readonly Lease[] => text.split('\n').flatMap((line) => parseLease(line) ?? []);

/** The holder of a DHCPv6 lease: an identity association (IAID) of a client (DUID). */
export type Holder = { readonly duid: Uint8Array; readonly iaid: number };

/** The holders of DHCPv6 leases (RFC 8415's IA_NA) by address. */
export function parseHolders(text: string): ReadonlyMap<IpAddress, Holder> {
  const holders = new Map<IpAddress, Holder>();
  for (const line of text.split('\n')) {
    const lease = parseLease(line);
    const [, iaid = '', , , duid = ''] = line.split(' ');
    if (lease?.address.includes(':') && /^\d{1,10}$/.test(iaid) && /^[0-9a-f]{2}(:[0-9a-f]{2})*$/.test(duid))
      holders.set(lease.address, { duid: Uint8Array.from(duid.split(':'), (byte) => Number.parseInt(byte, 16)), iaid: Number(iaid) });
  }
  return holders;
}

/** The lease file without the leases that `keep` rejects. Everything else stays, such as Dnsmasq's identifier, by which guests know it. Only for while Dnsmasq is not running. */
export const pruneLeases = (text: string, keep: (lease: Lease) => boolean): string =>
  text
    .split('\n')
    .filter((line) => {
      const lease = parseLease(line);
      return lease === undefined || keep(lease);
    })
    .join('\n');

/**
 * The server's DHCPv6 identifier (a DUID-UUID, RFC 6355), the same on every host: a guest renews with the server that it knows, and finds it on the host that it was migrated to.
 * Each tap is a link of its own, so no link has two servers.
 */
export const serverDuid: Uint8Array = makeServerDuid();

function makeServerDuid(): Uint8Array {
  const digest = createHash('sha256').update('calico-dhcp-agent').digest().subarray(0, 16);
  digest[6] = (digest[6]! & 0x0f) | 0x80; // a UUID of version 8, for custom formats (RFC 9562)
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  return Uint8Array.of(0, 4, ...digest);
}

/** The lease file with `serverDuid` as Dnsmasq's identifier. Dnsmasq would make one of a link's MAC, and would not start where no link has a MAC. */
export function withServerDuid(text: string): string {
  const duid = [...serverDuid].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return `duid ${duid}\n${text.replace(/^duid .*\n/gm, '')}`;
}
