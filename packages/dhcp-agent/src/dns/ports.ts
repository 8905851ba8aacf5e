// Keeps the names of the served ports, in memory and on disk.
import { parseAddress } from '@calico-openstack/addresses';
import { isFields, parseJson } from '@calico-openstack/datamodel';
import type { FamilyServer, Served } from '../family-server.ts';
import { keepPorts } from '../kept-ports.ts';
import type { PortTexts } from '../port-texts.ts';
import { isDomain, isHostname } from '../service/names.ts';
import type { DnsService } from '../service/service.ts';

/** The server of names, for the agent's loop. The resolver answers from its ports. */
export type DnsServer = FamilyServer<DnsService, DnsService & Served>;

/** Creates the server. @param onChange called with each tap whose port was added, changed or removed */
export const createDnsServer = (files: PortTexts, onChange: (tap: string) => void): DnsServer =>
  keepPorts<DnsService>('dns', { print: printNames, parse: parseNames }, files, onChange);

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
