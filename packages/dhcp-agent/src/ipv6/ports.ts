// Keeps the ports that are served with IPv6, in memory and on disk.
import { type Cidr, familyOf, parseAddress, parseCidr, parseMac, prefixLength } from '@calico-openstack/addresses';
import { isFields, parseJson } from '@calico-openstack/datamodel';
import type { FamilyServer } from '../family-server.ts';
import { keepPorts } from '../kept-ports.ts';
import type { PortTexts } from '../port-texts.ts';
import { isDomain } from '../service/names.ts';
import type { Ipv6Service, ServerAddress } from '../service/service.ts';

/** The IPv6 server, for the agent's loop. The responder answers for its ports. */
export type Ipv6Server = FamilyServer<Ipv6Service, Ipv6Service>;

/** Creates the server. @param onChange called with each tap whose port was added, changed or removed */
export const createIpv6Server = (files: PortTexts, onChange: (tap: string) => void): Ipv6Server =>
  keepPorts<Ipv6Service>(6, { print: printPort, parse: parsePort }, files, onChange);

const printPort = (port: Ipv6Service): string => `${JSON.stringify(port)}\n`;

/** Parses a port's file; undefined for anything that `printPort` would not have written. */
export function parsePort(text: string): Ipv6Service | undefined {
  const parsed = parseJson(text);
  if (!parsed.ok || !isFields(parsed.value)) return undefined;
  const { mac, addresses, leases, autonomous, dhcp, serverAddresses, mtuBytes, dnsServers, domain, options } = parsed.value;
  const port = {
    family: 6,
    mac: typeof mac === 'string' ? parseMac(mac) : undefined,
    addresses: listOf(addresses, address6),
    leases: listOf(leases, address6),
    autonomous: listOf(autonomous, (entry) => (typeof entry === 'string' && parseCidr(entry) === entry ? (entry as Cidr) : undefined)),
    dhcp: (['none', 'stateless', 'stateful'] as const).find((one) => one === dhcp),
    serverAddresses: listOf(serverAddresses, serverAddress),
    mtuBytes: typeof mtuBytes === 'number' ? mtuBytes : undefined,
    dnsServers: listOf(dnsServers, address6),
    domain: typeof domain === 'string' && isDomain(domain) ? domain : undefined,
    options: listOf(options, (entry) =>
      isFields(entry) && typeof entry['code'] === 'number' && typeof entry['hex'] === 'string' && /^([0-9a-f]{2})+$/.test(entry['hex'])
        ? { code: entry['code'], hex: entry['hex'] }
        : undefined,
    ),
  } as Ipv6Service;
  return printPort(port) === text ? port : undefined;
}

const listOf = <T>(value: unknown, read: (entry: unknown) => T | undefined): readonly T[] | undefined =>
  Array.isArray(value) ? (value as unknown[]).flatMap((entry) => read(entry) ?? []) : undefined;

function address6(entry: unknown) {
  const address = typeof entry === 'string' ? parseAddress(entry) : undefined;
  return address !== undefined && familyOf(address) === 6 ? address : undefined;
}

function serverAddress(entry: unknown): ServerAddress | undefined {
  if (!isFields(entry)) return undefined;
  const [address, length] = [address6(entry['address']), entry['prefixLength']];
  const cidr = address && typeof length === 'number' ? parseCidr(`${address}/${length}`) : undefined;
  return address && cidr && { address, prefixLength: prefixLength(cidr) };
}
