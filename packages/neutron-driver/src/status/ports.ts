// What a port's status in Neutron should be, from what the Felixes report of it. Pure.
import type { EndpointStatus } from '@calico-openstack/datamodel';
import type { PortRow } from '../rows.ts';
import type { StatusUpdate } from '../sources.ts';
import { activeBinding, endpointWishes, type Slot } from '../translate/endpoint.ts';

export type Reported = {
  /** What the Felix on this host reports; undefined: nothing. */
  at(slot: Slot): EndpointStatus | undefined;
  /** Whether a report of that host was seen to vanish. */
  vanished(host: string): boolean;
};

const neutronStatus = { up: 'ACTIVE', down: 'DOWN', error: 'ERROR' } as const satisfies Record<EndpointStatus, StatusUpdate['status']>;

/** Where a port's status has to be looked for: at home, and where it is moving to. */
export const statusSlots = (port: PortRow): readonly Slot[] => endpointWishes(port).map((wish) => wish.slot);

/** The status to write; undefined: it is right, or not for Felix to say. Reports of other hosts than the port's own mean nothing for it, however late they come or go. */
export function portStatusUpdate(port: PortRow, reported: Reported): StatusUpdate | undefined {
  const host = activeBinding(port)?.host ?? '';
  if (host === '') return undefined; // unbound: Neutron itself has set it DOWN
  const home = endpointWishes(port)[0];
  const wanted = home ? statusAtHome(home.slot, reported) : port.admin_state_up || !reported.vanished(host) ? undefined : 'DOWN';
  return wanted === undefined || wanted === port.status ? undefined : { port: port.id, host, status: wanted };
}

function statusAtHome(home: Slot, reported: Reported): StatusUpdate['status'] | undefined {
  const status = reported.at(home);
  if (status !== undefined) return neutronStatus[status];
  return reported.vanished(home.host) ? 'ERROR' : undefined;
}

/** The host that the port is moving to and already up at: Nova waits to hear of it. */
export function upAtDestination(port: PortRow, reported: Reported): string | undefined {
  const destination = endpointWishes(port)[1]?.slot;
  return destination && reported.at(destination) === 'up' ? destination.host : undefined;
}
