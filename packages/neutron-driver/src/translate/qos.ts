// Translates a port's QoS rules to qosControls, in bits and packets per second.
import type { QosRuleRow } from '../rows.ts';

/** The options in [calico] of neutron.conf for one direction. */
export type DirectionOptions = { readonly burstBits: number; readonly minburstBytes: number; readonly burstPackets: number; readonly maxConnections: number };
/** The options for both directions. */
export type QosOptions = { readonly ingress: DirectionOptions; readonly egress: DirectionOptions };

const defaultBurstBits = 4294967296;
const defaultBurstPackets = 5;
const noOptions: DirectionOptions = { burstBits: defaultBurstBits, minburstBytes: 0, burstPackets: defaultBurstPackets, maxConnections: 0 };
/** The settings when no option is set. */
export const defaultQosOptions: QosOptions = { ingress: noOptions, egress: noOptions };

/** Moves a value outside of its range to the nearest bound. */
const clamp = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));

/** The controls of both directions; undefined when there are none. A rule without a direction is for egress. Of several rules of a kind the last one counts (Neutron allows one per direction). */
export function qosControls(rules: readonly QosRuleRow[], options: QosOptions): Readonly<Record<string, number>> | undefined {
  const controls = { ...direction('ingress', rules, options.ingress), ...direction('egress', rules, options.egress) };
  return Object.keys(controls).length > 0 ? controls : undefined;
}

function direction(name: 'ingress' | 'egress', all: readonly QosRuleRow[], options: DirectionOptions): Record<string, number> {
  const rules = all.filter((rule) => (rule.direction ?? 'egress') === name);
  const bandwidth = rules.findLast((rule) => rule.type === 'bandwidth_limit');
  const packetRate = rules.findLast((rule) => rule.type === 'packet_rate_limit');
  const [kbps, peakKbps, kpps] = [bandwidth?.max_kbps ?? 0, bandwidth?.max_burst_kbps ?? 0, packetRate?.max_kpps ?? 0];
  const { burstBits, minburstBytes, burstPackets, maxConnections } = options;
  return {
    ...(kbps > 0 && { [`${name}Bandwidth`]: clamp(kbps * 1000, 1000, 1e15), [`${name}Burst`]: clamp(burstBits || defaultBurstBits, 1000, 34359738360) }),
    ...(peakKbps > 0 && { [`${name}Peakrate`]: clamp(peakKbps * 1000, 1010, 1.01e15) }),
    ...(kbps > 0 && peakKbps > 0 && minburstBytes > 0 && { [`${name}Minburst`]: clamp(minburstBytes, 1000, 1e8) }),
    ...(kpps > 0 && { [`${name}PacketRate`]: clamp(kpps * 1000, 1, 10_000), [`${name}PacketBurst`]: clamp(burstPackets || defaultBurstPackets, 1, 10_000) }),
    ...(maxConnections > 0 && { [`${name}MaxConnections`]: clamp(maxConnections, 1, 4294967295) }),
  };
}
