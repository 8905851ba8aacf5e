// A server of the agent's loop whose ports are kept in memory and in a small file for each, so that the next agent serves them from its start on, even while etcd does not answer.
import { isTapName } from './endpoint.ts';
import type { FamilyServer, Served } from './family-server.ts';
import type { PortTexts } from './port-texts.ts';
import type { FamilyService } from './service/service.ts';

/** The form of a kind of service on disk. `parse` returns undefined for any text that `print` would not have written. */
export type Form<Service> = { print(service: Service): string; parse(text: string): Service | undefined };

/** Creates the server. @param onChange called with each tap whose port was added, changed or removed */
export function keepPorts<Service extends FamilyService>(
  family: Service['family'],
  { print, parse }: Form<Service>,
  files: PortTexts,
  onChange: (tap: string) => void,
): FamilyServer<Service, Service & Served> {
  const ports = new Map<string, Service>();
  for (const [tap, text] of files.read()) {
    const port = isTapName(tap) ? parse(text) : undefined;
    if (port) ports.set(tap, port);
    else files.remove(tap);
  }
  return {
    family,
    ports,
    isServing: () => true,
    serve(tap, _mac, service) {
      const before = ports.get(tap);
      const text = print(service);
      if (before && print(before) === text) return false;
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
