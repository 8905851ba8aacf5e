// Serves one port with the servers of both families.
import type { Logger } from '@calico-openstack/agent';
import type { FamilyServer } from './family-server.ts';
import { type PortService, servicesOf } from './service/service.ts';

/** Starts and ends the service of ports. */
export interface PortServer {
  /** Ends the tap's service in the families in which `port` has none; in both when `port` is undefined. @throws what the disk refuses */
  withdraw(tap: string, port: PortService | undefined): void;
  /** Serves the port in its families. @throws what the disk refuses */
  serve(port: PortService): void;
  /** Logs the ports that are served from now on, once their servers answer. Returns whether some are still to be logged. */
  tell(): boolean;
}

/** The servers of the families, and how a tap is silenced. */
export type PortServerOptions = {
  readonly servers: readonly FamilyServer[];
  /** Removes the host's addresses from a tap, which silences DHCP there at once, whatever Dnsmasq still has in memory. */
  readonly silence: (tap: string) => void;
  readonly log: Logger;
};

/** Serves ports with these servers, and logs what changes. */
export function portServer({ servers, silence, log }: PortServerOptions): PortServer {
  /** The ports whose files are written and that are still to be logged as served, by tap. */
  const untold = new Map<string, { readonly port: PortService; readonly known: boolean }>();
  return {
    withdraw(tap, port) {
      if (!port) silence(tap);
      if (!port) untold.delete(tap);
      const services = port ? servicesOf(port) : [];
      const gone = servers.filter(({ family, withdraw }) => !services.some((service) => service.family === family) && withdraw(tap));
      if (!port && gone.length > 0) log.info({ tap }, 'port no longer served: it was deleted, has left this host or lost its addresses');
    },
    serve(port) {
      const known = servers.some(({ ports }) => ports.has(port.tap));
      const services = servicesOf(port);
      const news = servers.filter((server) => services.some((service) => service.family === server.family && server.serve(port.tap, port.mac, service)));
      if (news.length > 0) untold.set(port.tap, { port, known: untold.get(port.tap)?.known ?? known });
    },
    tell() {
      if (untold.size === 0 || !servers.every(({ isServing }) => isServing())) return untold.size > 0;
      for (const { port, known } of untold.values()) {
        const addresses = [...(port.ipv4?.leases ?? []), ...(port.ipv6?.addresses ?? [])];
        log.info({ tap: port.tap, mac: port.mac, addresses }, known ? 'port served in another way: its addresses or options have changed' : 'port served');
      }
      untold.clear();
      return false;
    },
  };
}
