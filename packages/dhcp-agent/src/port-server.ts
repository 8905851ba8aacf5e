// One port on the servers of both families.
import type { Logger } from '@calico-openstack/agent';
import type { FamilyServer } from './dnsmasq/server.ts';
import { type PortService, servicesOf } from './service/service.ts';

export interface PortServer {
  /** Takes the tap from the servers of the families in which it is not to be served as `port` has it; undefined: in none. @throws what the disk refuses */
  withdraw(tap: string, port: PortService | undefined): void;
  /** Serves the port in its families. @throws what the disk refuses */
  serve(port: PortService): void;
}

export type PortServerOptions = {
  readonly servers: readonly FamilyServer[];
  /** Takes the host's addresses from a tap: it is silent at once then, whatever Dnsmasq still knows. */
  readonly silence: (tap: string) => void;
  readonly log: Logger;
};

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
