// Serves one port with the servers of both families.
import type { Logger } from '@calico-openstack/agent';
import type { FamilyServer } from './dnsmasq/server.ts';
import { type PortService, servicesOf } from './service/service.ts';

/** Starts and ends the service of ports. */
export interface PortServer {
  /** Ends the tap's service in the families in which `port` has none; in both when `port` is undefined. @throws what the disk refuses */
  withdraw(tap: string, port: PortService | undefined): void;
  /** Serves the port in its families. @throws what the disk refuses */
  serve(port: PortService): void;
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
  return {
    withdraw(tap, port) {
      if (!port) silence(tap);
      const services = port ? servicesOf(port) : [];
      const gone = servers.filter(({ family, withdraw }) => !services.some((service) => service.family === family) && withdraw(tap));
      if (!port && gone.length > 0) log.info({ tap }, 'port no longer served');
    },
    serve(port) {
      const known = servers.some(({ ports }) => ports.has(port.tap));
      const services = servicesOf(port);
      const news = servers.filter((server) => services.some((service) => service.family === server.family && server.serve(port.tap, port.mac, service)));
      if (news.length > 0)
        log.info({ tap: port.tap, mac: port.mac, addresses: services.flatMap(({ leases }) => leases) }, known ? 'port served in another way' : 'port served');
    },
  };
}
