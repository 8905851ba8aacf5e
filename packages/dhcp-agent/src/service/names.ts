// Hostnames and domains, which tenants choose, by DNS rules (RFC 1034 3.5, RFC 1123 2.1): what passes here holds letters, digits, dashes and dots, and nothing else.
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';

const label = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const longestName = 253;

export const isHostname = (text: string): boolean => label.test(text);

export const isDomain = (text: string): boolean => text.length <= longestName && text.split('.').every((part) => label.test(part));

/** A guest's name, as DHCP tells it: without and with its domain. */
export type GuestName = { readonly hostname: string; readonly domain: string | undefined };

/**
 * Parts a fully qualified name (a dot at its end is allowed) at its first dot.
 * undefined when it is not a name by DNS rules: nothing of it may then be used.
 */
export function parseFqdn(fqdn: string): GuestName | undefined {
  const name = fqdn.endsWith('.') ? fqdn.slice(0, -1) : fqdn;
  if (!isDomain(name)) return undefined;
  const dot = name.indexOf('.');
  return dot < 0 ? { hostname: name, domain: undefined } : { hostname: name.slice(0, dot), domain: name.slice(dot + 1) };
}

/** What a guest is called whose port has no name: `host-10-65-0-4`, `host-2001-db8-0-0-0-0-0-4`. */
export function nameFromAddress(address: IpAddress | undefined): string {
  if (address === undefined) return 'host';
  const bytes = addressBytes(address);
  const parts = bytes.length === 4 ? [...bytes] : Array.from({ length: 8 }, (_, index) => ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16));
  return `host-${parts.join('-')}`;
}
