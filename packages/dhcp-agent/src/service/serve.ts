// Computes a port's service from its facts. Pure.
import type { ServiceOptions } from '../option-table.ts';
import { serveIpv4 } from './ipv4.ts';
import { serveIpv6 } from './ipv6.ts';
import { type GuestName, nameFromAddress, parseFqdn } from './names.ts';
import type { DnsService, PortFacts, PortService, Served } from './service.ts';

/** The port's service in both families, and its name. No service where none of its addresses can be handed out. A name that breaks the rules of DNS is left out and reported as a problem. */
export function servePort(port: PortFacts, options: ServiceOptions): Served<PortService> {
  const name = port.fqdn === undefined ? undefined : parseFqdn(port.fqdn);
  const guest: GuestName = {
    hostname: name?.hostname ?? nameFromAddress(port.addresses[0]),
    domain: name?.domain ?? options.domain,
  };
  const ipv4 = serveIpv4(port, guest);
  const ipv6 = serveIpv6(port, guest);
  const { tap, mac, networkId, addresses, createdMs } = port;
  const resolvers = [...(ipv4.resolvers ?? []), ...(ipv6.resolvers ?? [])];
  const dns: DnsService = { family: 'dns', networkId, ...guest, addresses, resolvers, createdMs };
  return {
    service: ipv4.service !== undefined || ipv6.service !== undefined ? { tap, mac, ipv4: ipv4.service, ipv6: ipv6.service, dns } : undefined,
    problems: [
      ...(port.fqdn !== undefined && name === undefined ? [`its name ${JSON.stringify(port.fqdn)} is none by DNS rules: the guest is not told it`] : []),
      ...ipv4.problems,
      ...ipv6.problems,
    ],
  };
}
