// Opens the servers that answer guests: for DHCPv4 (Dnsmasq), IPv6 and DNS.
import type { Logger } from '@calico-openstack/agent';
import type { Links } from '@calico-openstack/kernel/links/link';
import { readSysctl } from '@calico-openstack/kernel/sysctl/sysctl';
import { type Names, openNames } from './dns/open.ts';
import { ipv6DirectoryIn } from './dnsmasq/command.ts';
import { createDnsmasqServer, type Dnsmasq, type DnsmasqServer } from './dnsmasq/server.ts';
import { openEarlyQuestions } from './early4.ts';
import { serverDuid } from './ipv6/message.ts';
import { createIpv6Server, type Ipv6Server } from './ipv6/ports.ts';
import { openResponder } from './ipv6/responder.ts';
import type { Protocol } from './metrics.ts';
import type { AgentOptions } from './option-table.ts';
import { openPortTexts } from './port-texts.ts';

/** What the servers work with. */
export type ServersOptions = {
  readonly options: AgentOptions;
  readonly dnsmasq: Dnsmasq;
  readonly links: Links;
  /** Called for each request of a served port. */
  readonly asked: (tap: string, protocol: Protocol) => void;
  readonly log: Logger;
};

/** The servers of all families. */
export type Servers = {
  readonly families: readonly [v4: DnsmasqServer, v6: Ipv6Server, names: Names['server']];
  /** The Dnsmasq that resolves names outside of the ports' networks, if there is one. */
  readonly dns: Names['dnsmasq'];
  /** Says that a tap was added, changed or removed. */
  tapChanged(tap: string): void;
  /** Says that ports may have been added. */
  portsChanged(): void;
  close(): Promise<void>;
};

/** Answers guests until closed. The Dnsmasqs keep running. @throws StartError when the kernel or Dnsmasq refuses something */
export async function openServers({ options, dnsmasq, links, asked, log }: ServersOptions): Promise<Servers> {
  const v4 = createDnsmasqServer(dnsmasq, (taps) => early.answered(taps));
  const early = openEarlyQuestions({ links, portOf: v4.answeredOn, asked: (tap) => asked(tap, 'dhcpv4'), log });
  const texts6 = openPortTexts(ipv6DirectoryIn(options.directory), log);
  const v6 = createIpv6Server(texts6, (tap) => responder.changed(tap));
  const responder = openResponder({
    links,
    server: { duid: serverDuid, leaseSeconds: options.dnsmasq.leaseSeconds },
    portOf: (tap) => v6.ports.get(tap),
    isOff: isIpv6Off,
    answered: asked,
    log,
  });
  const names = await openNames(options, (tap) => asked(tap, 'dns'), log);
  return {
    families: [v4, v6, names.server],
    dns: names.dnsmasq,
    tapChanged(tap) {
      responder.changed(tap);
      early.changed(tap);
      names.changed(tap);
    },
    portsChanged: () => early.portsChanged(),
    async close() {
      await responder.close();
      texts6.close();
      early.close();
      await names.close();
    },
  };
}

/** Whether IPv6 is switched off on a link. */
function isIpv6Off(name: string): boolean {
  return readSysctl(['net', 'ipv6', 'conf', name, 'disable_ipv6']) !== '0'; // undefined when the link is gone, or the kernel has no IPv6
}
