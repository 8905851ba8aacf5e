// Opens the parts of DNS for guests: the ports' names, the resolver that answers guests, and the Dnsmasq that resolves all other names.
import type { Logger } from '@calico-openstack/agent';
import { checkArguments } from '../dnsmasq/process.ts';
import type { DnsmasqProcess } from '../dnsmasq/supervisor.ts';
import type { AgentOptions } from '../option-table.ts';
import { openPortTexts } from '../port-texts.ts';
import { dnsPlacesIn, forwarderArguments, hasForwarder, openForwardingDnsmasq } from './dnsmasq.ts';
import { openForwarder } from './forwarder.ts';
import { createDnsServer, type DnsServer } from './ports.ts';
import { openResolver } from './resolver.ts';

/** DNS for guests. */
export type Names = {
  readonly server: DnsServer;
  /** The Dnsmasq that resolves other names; undefined when the operator has configured no servers for that. */
  readonly dnsmasq: DnsmasqProcess | undefined;
  /** Says that the addresses of a tap have changed. */
  changed(tap: string): void;
  close(): Promise<void>;
};

/** Answers guests until closed; Dnsmasq keeps running. @param asked called for each query of a guest. @throws StartError when Dnsmasq refuses its arguments */
export async function openNames(
  { directory, forwarding }: Pick<AgentOptions, 'directory' | 'forwarding'>,
  asked: (tap: string) => void,
  log: Logger,
): Promise<Names> {
  if (hasForwarder(forwarding)) await checkArguments('dnsmasq', forwarderArguments(directory, forwarding));
  const dnsmasq = await openForwardingDnsmasq(directory, forwarding, log);
  const texts = openPortTexts(dnsPlacesIn(directory).ports, log);
  const server = createDnsServer(texts, (tap) => resolver.changed(tap));
  const resolver = openResolver({ portOf: (tap) => server.ports.get(tap), forwarder: dnsmasq && openForwarder(), asked, log });
  return {
    server,
    dnsmasq,
    changed: (tap) => resolver.changed(tap),
    async close() {
      resolver.close();
      texts.close();
      await dnsmasq?.close();
    },
  };
}
