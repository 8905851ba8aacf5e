// Keeps the names of the ports that are served, in memory and in a small file for each port.
import { parseAddress } from '@calico-openstack/addresses';
import { isFields, parseJson } from '@calico-openstack/datamodel';
import { isTapName } from '../endpoint.ts';
import type { FamilyServer } from '../family-server.ts';
import type { PortTexts } from '../port-texts.ts';
import { isDomain, isHostname } from '../service/names.ts';
import type { DnsService, ServerAddress } from '../service/service.ts';

/** What the loop tells of names. The resolver answers with its ports. */
export type DnsServer = FamilyServer<DnsService, Named>;

/** Names need no address of the host on the tap, besides those that DHCP has there. */
type Named = DnsService & { readonly serverAddresses?: readonly ServerAddress[] };

/** Creates the server. @param onChange called with each tap whose port was added, changed or removed */
export function createDnsServer(files: PortTexts, onChange: (tap: string) => void): DnsServer {
  const ports = new Map<string, Named>();
  for (const [tap, text] of files.read()) {
    const port = isTapName(tap) ? parseNames(text) : undefined;
    if (port) ports.set(tap, port);
    else files.remove(tap);
  }
  return {
    family: 'dns',
    ports,
    isServing: () => true,
    serve(tap, _mac, service) {
      const before = ports.get(tap);
      const text = printNames(service);
      if (before && printNames(before) === text) return false;
      files.write(tap, text);
      ports.set(tap, service);
      onChange(tap);
      return true;
    },
    withdraw(tap) {
      if (!ports.has(tap)) return false;
      files.remove(tap);
      ports.delete(tap);
      onChange(tap);
      return true;
    },
    settle: () => undefined,
  };
}

const printNames = (port: DnsService): string => `${JSON.stringify(port)}\n`;

/** Parses a port's file; undefined for anything that `printNames` would not have written. */
export function parseNames(text: string): DnsService | undefined {
  const parsed = parseJson(text);
  if (!parsed.ok || !isFields(parsed.value)) return undefined;
  const { networkId, hostname, domain, addresses, resolvers, createdMs } = parsed.value;
  const port = {
    family: 'dns',
    networkId: typeof networkId === 'string' ? networkId : undefined,
    hostname: typeof hostname === 'string' && isHostname(hostname) ? hostname : undefined,
    domain: typeof domain === 'string' && isDomain(domain) ? domain : undefined,
    addresses: listOf(addresses),
    resolvers: listOf(resolvers),
    createdMs: typeof createdMs === 'number' ? createdMs : undefined,
  } as DnsService;
  return printNames(port) === text ? port : undefined;
}

const listOf = (value: unknown) =>
  Array.isArray(value) ? (value as unknown[]).flatMap((entry) => (typeof entry === 'string' ? (parseAddress(entry) ?? []) : [])) : undefined;
