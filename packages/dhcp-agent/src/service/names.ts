// Hostnames and domains, which tenants choose, checked by the rules of DNS (RFC 1034 3.5, RFC 1123 2.1): what passes holds letters, digits, dashes and dots, and nothing else.
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';

const label = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const longestName = 253;

/** Whether the text is one label by the rules of DNS. */
export const isHostname = (text: string): boolean => label.test(text);

/** Whether the text is a domain by the rules of DNS: labels with dots between. */
export const isDomain = (text: string): boolean => text.length <= longestName && text.split('.').every((part) => label.test(part));

/** A guest's name as DHCP sends it: the hostname without its domain, and the domain. */
export type GuestName = { readonly hostname: string; readonly domain: string | undefined };

/**
 * Splits a fully qualified name (a dot at its end is allowed) at its first dot.
 * undefined when it is not a name by the rules of DNS: no part of it may be used then.
 */
export function parseFqdn(fqdn: string): GuestName | undefined {
  const name = fqdn.endsWith('.') ? fqdn.slice(0, -1) : fqdn;
  if (!isDomain(name)) return undefined;
  const dot = name.indexOf('.');
  return dot < 0 ? { hostname: name, domain: undefined } : { hostname: name.slice(0, dot), domain: name.slice(dot + 1) };
}

/** The name of a guest whose port has no name: `host-10-65-0-4`, `host-2001-db8-0-0-0-0-0-4`. */
export function nameFromAddress(address: IpAddress | undefined): string {
  if (address === undefined) return 'host';
  const bytes = addressBytes(address);
  const parts = bytes.length === 4 ? [...bytes] : Array.from({ length: 8 }, (_, index) => ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16));
  return `host-${parts.join('-')}`;
}
