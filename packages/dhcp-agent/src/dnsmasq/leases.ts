// Dnsmasq's file of leases: IPv4 ones, then its own DHCPv6 identifier, then IPv6 ones. One lease a line, fields with blanks between.
import { createHash } from 'node:crypto';
import { type IpAddress, parseAddress, parseMac } from '@calico-openstack/addresses';

export type Lease = {
  readonly address: IpAddress;
  /** IPv4 only: DHCPv6 knows clients by identifiers of their own making. */
  readonly mac: string | undefined;
};

/** `expires mac address hostname client-id`; for IPv6 `expires iaid address hostname duid`. undefined for any other line. */
function parseLease(line: string): Lease | undefined {
  const fields = line.split(' ');
  const address = parseAddress(fields[2] ?? '');
  if (fields.length < 5 || !/^\d+$/.test(fields[0]!) || address === undefined) return undefined;
  return { address, mac: parseMac(fields[1]!) };
}

export const parseLeases = (text: string): readonly Lease[] => text.split('\n').flatMap((line) => parseLease(line) ?? []);

/** Whose a DHCPv6 lease is: an identity association of a client. */
export type Holder = { readonly duid: Uint8Array; readonly iaid: number };

/** DHCPv6's leases (RFC 8415's IA_NA) by address. */
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

/** Without the leases that are not to be kept. Everything else stays: Dnsmasq's identifier, by which guests know it. For while Dnsmasq is not running. */
export const pruneLeases = (text: string, keep: (lease: Lease) => boolean): string =>
  text
    .split('\n')
    .filter((line) => {
      const lease = parseLease(line);
      return lease === undefined || keep(lease);
    })
    .join('\n');

/**
 * DHCPv6's name for the server (a DUID-UUID, RFC 6355), the same on every host: a guest renews with the server that it knows, and finds it on the host that it was migrated to.
 * No link has two.
 */
export const serverDuid: Uint8Array = makeServerDuid();

function makeServerDuid(): Uint8Array {
  const digest = createHash('sha256').update('calico-dhcp-agent').digest().subarray(0, 16);
  digest[6] = (digest[6]! & 0x0f) | 0x80; // a UUID of version 8: made in one's own way (RFC 9562)
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  return Uint8Array.of(0, 4, ...digest);
}

/** With our DHCPv6 identifier in the place of any other. Dnsmasq would make one of a link's MAC, and not start where no link has one. */
export function withServerDuid(text: string): string {
  const duid = [...serverDuid].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return `duid ${duid}\n${text.replace(/^duid .*\n/gm, '')}`;
}
