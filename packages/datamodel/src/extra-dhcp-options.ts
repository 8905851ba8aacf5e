// The DHCP options that a tenant gave to one port (Neutron's `extra_dhcp_opts`). The driver writes them into an annotation; the DHCP agent sends them to the port's guest.
import type { IpFamily } from '@calico-openstack/addresses';
import { isFields, parseJson, show } from './resource.ts';

/** This project's own annotation: the port's extra DHCP options. JSON: `[{"name": "<name or number>", "value": "<text>", "ip_version": 4 | 6}, …]`, as Neutron has them. */
export const extraDhcpOptionsAnnotation = 'openstack.projectcalico.org/extra-dhcp-options';

/** One option as the tenant wrote it: any text. Only `dhcpOptionOf` says what it means. */
export type ExtraDhcpOption = {
  /** A name of `dhcpOptions`, or the option's code in decimal digits. */
  readonly name: string;
  readonly value: string;
  readonly family: IpFamily;
};

/** Limits far above what Neutron's API allows (a name has 64 characters, a value 255). */
const textMax = 256 * 1024;
const optionsMax = 128;

/** The annotation's value for these options. */
export const encodeExtraDhcpOptions = (options: readonly ExtraDhcpOption[]): string =>
  JSON.stringify(options.map(({ name, value, family }) => ({ name, value, ip_version: family })));

/**
 * Decodes the value of `extraDhcpOptionsAnnotation`. Entries that are not understood are left out, each with a reason that follows the words "the extra DHCP options": the others
 * still reach the guest.
 */
export function decodeExtraDhcpOptions(text: string): { readonly options: readonly ExtraDhcpOption[]; readonly leftOut: readonly string[] } {
  if (text.length > textMax) return { options: [], leftOut: [`have ${text.length} characters; ${textMax} are the most`] };
  const parsed = parseJson(text);
  if (!parsed.ok) return { options: [], leftOut: [parsed.reason] };
  if (!Array.isArray(parsed.value)) return { options: [], leftOut: ['are not a JSON list'] };
  const entries: readonly unknown[] = parsed.value;
  const leftOut: string[] = [];
  const options = entries.slice(0, optionsMax).flatMap((entry): ExtraDhcpOption[] => {
    if (isFields(entry)) {
      const { name, value, ip_version: version = 4 } = entry;
      if (typeof name === 'string' && typeof value === 'string' && (version === 4 || version === 6)) return [{ name, value, family: version }];
    }
    leftOut.push(`hold ${show(entry)}, which is no option`);
    return [];
  });
  if (entries.length > optionsMax) leftOut.push(`hold ${entries.length} entries; the first ${optionsMax} count`);
  return { options, leftOut };
}

/**
 * What an option's value is: addresses of the option's family, a number of 8, 16 or 32 bits, text, domain names (RFC 1035 3.1), or bytes in hexadecimal digits with colons between.
 * `any`: the value's look decides.
 */
export type DhcpValueType = 'addresses' | 'number8' | 'number16' | 'number32' | 'text' | 'domains' | 'any';

/** An option's code and the type of its value. */
export type DhcpOptionType = { readonly code: number; readonly type: DhcpValueType };

const rows = (type: DhcpValueType, codes: Readonly<Record<string, number>>): Readonly<Record<string, DhcpOptionType>> =>
  Object.fromEntries(Object.entries(codes).map(([name, code]) => [name, { code, type }]));

/** No option of the protocol, but the field `siaddr` of a DHCPv4 message: the server that the guest boots from (RFC 2131 2). Dnsmasq has this number for it. */
export const serverIpAddressCode = 255;

/** The options that have names, which are Dnsmasq's: Neutron's users know them from there. Codes: RFC 2132 and IANA's lists of DHCP options. */
export const dhcpOptions: Readonly<Record<IpFamily, Readonly<Record<string, DhcpOptionType>>>> = {
  4: {
    ...rows('addresses', {
      router: 3,
      'dns-server': 6,
      'log-server': 7,
      'lpr-server': 9,
      'swap-server': 16,
      'policy-filter': 21,
      'router-solicitation': 32,
      'static-route': 33,
      'nis-server': 41,
      'ntp-server': 42,
      'netbios-ns': 44,
      'netbios-dd': 45,
      'x-windows-fs': 48,
      'x-windows-dm': 49,
      'nis+-server': 65,
      'mobile-ip-home': 68,
      'smtp-server': 69,
      'pop3-server': 70,
      'nntp-server': 71,
      'irc-server': 74,
      'tftp-server-address': 150,
      'server-ip-address': serverIpAddressCode,
    }),
    ...rows('number8', {
      'ip-forward-enable': 19,
      'non-local-source-routing': 20,
      'default-ttl': 23,
      'all-subnets-local': 27,
      'router-discovery': 31,
      'trailer-encapsulation': 34,
      'ethernet-encap': 36,
      'tcp-ttl': 37,
      'netbios-nodetype': 46,
    }),
    ...rows('number16', { 'boot-file-size': 13, 'max-datagram-reassembly': 22, mtu: 26, 'client-arch': 93 }),
    ...rows('number32', { 'time-offset': 2, 'arp-timeout': 35, 'tcp-keepalive': 38, T1: 58, T2: 59, 'ipv6-only': 108 }),
    ...rows('text', {
      'domain-name': 15,
      'root-path': 17,
      'extension-path': 18,
      'nis-domain': 40,
      'netbios-scope': 47,
      'vendor-class': 60,
      'nis+-domain': 64,
      'tftp-server': 66,
      'bootfile-name': 67,
      'posix-timezone': 100,
      'tzdb-timezone': 101,
      'path-prefix': 210,
    }),
    ...rows('domains', { 'domain-search': 119 }),
    ...rows('any', {
      'vendor-encap': 43,
      'user-class': 77,
      'client-interface-id': 94,
      'sip-server': 120,
      'classless-static-route': 121,
      'vendor-id-encap': 125,
    }),
  },
  6: {
    ...rows('addresses', { 'sip-server': 22, 'dns-server': 23, 'nis-server': 27, 'nis+-server': 28, 'sntp-server': 31 }),
    ...rows('number32', { 'information-refresh-time': 32 }),
    ...rows('text', { 'posix-timezone': 41, 'tzdb-timezone': 42, 'bootfile-url': 59 }),
    ...rows('domains', { 'sip-server-domain': 21, 'domain-search': 24, 'nis-domain': 29, 'nis+-domain': 30 }),
    ...rows('any', { 'vendor-opts': 17, 'ntp-server': 56, 'bootfile-param': 60 }),
  },
};

/** Options by which client and server run the protocol, or say who they are: another value of one would break the exchange itself. */
const protocolsOwn: Readonly<Record<IpFamily, ReadonlySet<number>>> = {
  4: new Set([0, 1, 50, 51, 52, 53, 54, 55, 56, 57, 61, 81, 82, 90, 118]),
  6: new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 18, 19, 20, 25, 26, 39]),
};
const codeMax: Readonly<Record<IpFamily, number>> = { 4: 254, 6: 0xffff };

/** The option that a name or number means. undefined when it is none of the family, or the protocol's own. An old name with `option:` or `option6:` before it is taken too. */
export function dhcpOptionOf(family: IpFamily, name: string): DhcpOptionType | undefined {
  const plain = name.trim().replace(family === 4 ? /^option:/ : /^option6:/, '');
  if (!/^\d{1,5}$/.test(plain)) return Object.hasOwn(dhcpOptions[family], plain) ? dhcpOptions[family][plain] : undefined;
  const code = Number(plain);
  if (code > codeMax[family] || protocolsOwn[family].has(code)) return undefined;
  return Object.values(dhcpOptions[family]).find((option) => option.code === code) ?? { code, type: 'any' };
}
