// Decides a port's status in Neutron from the Felixes' reports, and that of its floating IPs. Pure.
import { parseAddress } from '@calico-openstack/addresses';
import type { EndpointStatus } from '@calico-openstack/datamodel';
import type { PortRow, Rows } from '../rows.ts';
import type { FloatingIpUpdate, StatusUpdate } from '../sources.ts';
import { activeBinding, endpointWishes, leadingTo, type Slot } from '../translate/endpoint.ts';
import type { Vanishing } from './vanishings.ts';

/** The reports of the Felixes in etcd. */
export type Reported = {
  /** The status that this host's Felix reports; undefined when there is no report. */
  at(slot: Slot): EndpointStatus | undefined;
  /** How this host's report of the port has vanished; undefined when it has not. */
  vanished(slot: Slot): Vanishing | undefined;
};

const neutronStatus = { up: 'ACTIVE', down: 'DOWN', error: 'ERROR' } as const satisfies Record<EndpointStatus, StatusUpdate['status']>;

/** The places where a port's status is reported: its host, and the host to which it migrates. */
export const statusSlots = (port: PortRow): readonly Slot[] => endpointWishes(port).map((wish) => wish.slot);

/** The status to write; undefined when the present one is right, or when Felix does not decide it. Only reports of the port's own host count: those of its former host may come or vanish late. */
export function portStatusUpdate(port: PortRow, reported: Reported): StatusUpdate | undefined {
  const host = activeBinding(port)?.host ?? '';
  if (host === '') return undefined; // the port is unbound, and Neutron itself has set it DOWN
  const home = endpointWishes(port)[0];
  const wanted = home ? statusAtHome(home.slot, reported) : port.admin_state_up || !reported.vanished({ host, device: port.device_id }) ? undefined : 'DOWN';
  return wanted === undefined || wanted === port.status ? undefined : { port: port.id, host, status: wanted };
}

function statusAtHome(home: Slot, reported: Reported): StatusUpdate['status'] | undefined {
  const status = reported.at(home);
  if (status !== undefined) return neutronStatus[status];
  return reported.vanished(home) === 'wrongly' ? 'ERROR' : undefined;
}

/**
 * The statuses to write of the floating IPs that lead to a port whose status is now `status`: ACTIVE while it can be reached by them. One that leads here by an allowed address
 * pair is never set to DOWN, because another port may have it by a pair as well.
 */
export function floatingIpUpdates(port: PortRow, status: string, rows: Pick<Rows, 'floating_ips' | 'paired_floating_ips'>): readonly FloatingIpUpdate[] {
  const works = status === 'ACTIVE' && endpointWishes(port).length > 0;
  const fixed = new Set(port.fixed_ips.map((ip) => parseAddress(ip.ip_address)));
  return leadingTo(port, rows).flatMap((ip): FloatingIpUpdate[] => {
    const own = ip.fixed_port_id === port.id;
    const wanted = works && (!own || fixed.has(parseAddress(ip.fixed_ip_address))) ? 'ACTIVE' : 'DOWN';
    return wanted === ip.status || (wanted === 'DOWN' && !own) ? [] : [{ id: ip.id, port: ip.fixed_port_id, status: wanted }];
  });
}

/** The host to which the port migrates, if the port is up there already; then Nova waits for a notification. */
export function upAtDestination(port: PortRow, reported: Reported): string | undefined {
  const destination = endpointWishes(port)[1]?.slot;
  return destination && reported.at(destination) === 'up' ? destination.host : undefined;
}

/** The host to which the port migrates, if its Felix has not reported the port. */
export function silentDestination(port: PortRow, reported: Pick<Reported, 'at'>): string | undefined {
  const destination = endpointWishes(port)[1]?.slot;
  return destination && reported.at(destination) === undefined ? destination.host : undefined;
}
