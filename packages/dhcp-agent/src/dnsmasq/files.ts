// Prints and parses the files that Dnsmasq reads about a port: one in its directory of hosts, and one in its directory of options.
// Every line is bound to the tap by Dnsmasq's own tag for the interface of a packet: whatever a guest claims to be, it gets its own port's answers.
// No line sets a tag (`set:`): Dnsmasq 2.90 frees such a line's tags together with others that it had linked behind them, and crashes after a reload.

import { type IpAddress, parseAddress, parseCidr, parseMac, prefixLength } from '@calico-openstack/addresses';
import { unreachable } from '@calico-openstack/agent/errors';
import { serverIpAddressCode } from '@calico-openstack/datamodel';
import { isTapName } from '../endpoint.ts';
import type { DhcpOption, Ipv4Service, OptionValue, ServerAddress } from '../service/service.ts';

/** Both files of one port. */
export type PortFiles = { readonly host: string; readonly options: string };

/** The content of a hosts file. */
export type HostEntry = {
  readonly tap: string;
  /** The port's own MAC first, then those that had its addresses before. Dnsmasq gives an address that is leased to one of the others to the first MAC: stale leases do no harm. */
  readonly macs: readonly string[];
  readonly leases: readonly IpAddress[];
  /** The host's addresses on the tap while the port is served. In the file this is a comment, for the agent's own use. */
  readonly serverAddresses: readonly ServerAddress[];
};

/** The entry of a port's hosts file. `formerMacs` had the port's addresses in lease before. */
export const hostEntryOf = (tap: string, mac: string, service: Ipv4Service, formerMacs: readonly string[] = []): HostEntry => ({
  tap,
  macs: [mac, ...formerMacs.filter((former) => former !== mac)],
  leases: service.leases,
  serverAddresses: service.serverAddresses,
});

/** The text of a hosts file. @throws RangeError for a line that is too long for Dnsmasq */
export function printHost({ tap, macs, leases, serverAddresses }: HostEntry): string {
  const comment = `# ${serverAddresses.map(({ address, prefixLength: length }) => `${address}/${length}`).join(' ')}\n`;
  return shortLine(comment) + shortLine(`${[`tag:${tap}`, ...macs, ...leases].join(',')}\n`);
}

/** Parses a hosts file. undefined for anything that `printHost` would not have written. */
export function parseHost(text: string): HostEntry | undefined {
  const lines = /^# ([^\n]*)\ntag:([^\n]*)\n$/.exec(text);
  if (!lines || !text.split('\n').every(isShort)) return undefined;
  const [tap = '', ...fields] = lines[2]!.split(',');
  const macs = fields.flatMap((field) => parseMac(field) ?? []);
  const leases = fields.slice(macs.length).flatMap((field) => parseAddress(field) ?? []);
  const serverAddresses = lines[1]!.split(' ').flatMap((field) => parseServerAddress(field) ?? []);
  const entry: HostEntry = { tap, macs, leases, serverAddresses };
  return isTapName(tap) && macs.length > 0 && leases.length > 0 && printHost(entry) === text ? entry : undefined;
}

function parseServerAddress(text: string): ServerAddress | undefined {
  const cut = text.lastIndexOf('/');
  const address = parseAddress(text.slice(0, cut));
  const length = parseCidr(text);
  return address && length && { address, prefixLength: prefixLength(length) };
}

/**
 * Dnsmasq reads 1024 characters at once, and takes the rest for a line of its own: without the tag, every guest would get it.
 * @throws RangeError for a longer line; what services hold is kept short enough (subnets.ts)
 */
function shortLine(line: string): string {
  if (!isShort(line)) throw new RangeError(`${line.slice(0, 40)}… has ${line.length} characters, and Dnsmasq reads ${longestLine}`);
  return line;
}

const longestLine = 1000;
const isShort = (line: string): boolean => Buffer.byteLength(line) <= longestLine;

/**
 * The text of a port's options file, the last option first: Dnsmasq puts the options of later lines into a message before those of earlier lines, and leaves out what has no room any more.
 * @throws RangeError for a line that is too long for Dnsmasq
 */
export function printOptions(tap: string, service: Ipv4Service): string {
  return service.options
    .toReversed()
    .map((option) => shortLine(`tag:${tap},${printCode(option)}${printValue(option.value)}\n`))
    .join('');
}

const printCode = ({ code }: DhcpOption): string => (code === serverIpAddressCode ? 'option:server-ip-address' : `${code}`);

function printValue(value: OptionValue): string {
  switch (value.kind) {
    case 'addresses':
      return value.addresses.map((address) => `,${address}`).join('');
    case 'number8':
    case 'number16':
    case 'number32':
      return `,${value.number}`;
    case 'text':
      return `,"${value.text}"`;
    case 'bytes':
      // Dnsmasq takes a lone pair of digits for text or a number.
      return value.hex.length === 2 ? `,${Number.parseInt(value.hex, 16)}` : `,${value.hex.replace(/(..)(?=.)/g, '$1:')}`;
    case 'name':
      return `,${value.name}`;
    case 'routes':
      return value.routes.map(({ destination, nexthop }) => `,${destination},${nexthop}`).join('');
    case 'withheld':
      return '';
    default:
      return unreachable(value);
  }
}

/** Whether two entries serve a port in the same way, whatever MACs had the addresses before. */
export const sameEntry = (a: HostEntry, b: HostEntry): boolean =>
  printHost({ ...a, macs: a.macs.slice(0, 1) }) === printHost({ ...b, macs: b.macs.slice(0, 1) });
