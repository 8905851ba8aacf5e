// Translates a port's QoS rules to qosControls, in bits and packets per second.
import type { QosControls } from '@calico-openstack/datamodel';
import type { QosRuleRow } from '../rows.ts';

/** The options in [calico] of neutron.conf for one direction. */
export type DirectionOptions = { readonly burstBits: number; readonly burstPackets: number; readonly maxConnections: number };
/** The options for both directions. */
export type QosOptions = { readonly ingress: DirectionOptions; readonly egress: DirectionOptions };

const defaultBurstBits = 4294967296;
const defaultBurstPackets = 5;
const noOptions: DirectionOptions = { burstBits: defaultBurstBits, burstPackets: defaultBurstPackets, maxConnections: 0 };
/** The settings when no option is set. */
export const defaultQosOptions: QosOptions = { ingress: noOptions, egress: noOptions };

/** The greatest packet rate that Calico's API has. Upstream's Felix ends with a panic at a greater one. */
const mostPackets = 10_000;

/** Moves a value outside of its range to the nearest bound. */
const clamp = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));

/** The controls of both directions; undefined when there are none. A rule without a direction is for egress. Of several rules of a kind the last one counts (Neutron allows one per direction). */
export function qosControls(rules: readonly QosRuleRow[], options: QosOptions): Readonly<Record<string, number>> | undefined {
  const controls = { ...direction('ingress', rules, options.ingress), ...direction('egress', rules, options.egress) };
  return Object.keys(controls).length > 0 ? controls : undefined;
}

/** Packet rates that are greater than Calico's API has, by the name of the control: for `packetRatesAnnotation`. */
export function greatPacketRates(rules: readonly QosRuleRow[]): QosControls {
  const rates = (['ingress', 'egress'] as const).flatMap((name) => {
    const kpps = ruleOf(name, 'packet_rate_limit', rules)?.max_kpps ?? 0;
    return kpps * 1000 > mostPackets ? [[`${name}PacketRate`, kpps * 1000] as const] : [];
  });
  return Object.fromEntries(rates);
}

const ruleOf = (name: 'ingress' | 'egress', type: string, rules: readonly QosRuleRow[]): QosRuleRow | undefined =>
  rules.findLast((rule) => (rule.direction ?? 'egress') === name && rule.type === type);

function direction(name: 'ingress' | 'egress', all: readonly QosRuleRow[], options: DirectionOptions): Record<string, number> {
  const [bandwidth, packetRate] = [ruleOf(name, 'bandwidth_limit', all), ruleOf(name, 'packet_rate_limit', all)];
  // max_burst_kbps is an amount, as for Neutron's own drivers: the kilobits that may pass at once. Upstream's driver writes it as a peak rate.
  const [kbps, burstKbits, kpps] = [bandwidth?.max_kbps ?? 0, bandwidth?.max_burst_kbps ?? 0, packetRate?.max_kpps ?? 0];
  const { burstBits, burstPackets, maxConnections } = options;
  return {
    ...(kbps > 0 && {
      [`${name}Bandwidth`]: clamp(kbps * 1000, 1000, 1e15),
      [`${name}Burst`]: clamp(burstKbits * 1000 || burstBits || defaultBurstBits, 1000, 34359738360),
    }),
    ...(kpps > 0 && {
      [`${name}PacketRate`]: clamp(kpps * 1000, 1, mostPackets),
      [`${name}PacketBurst`]: clamp(burstPackets || defaultBurstPackets, 1, 10_000),
    }),
    ...(maxConnections > 0 && { [`${name}MaxConnections`]: clamp(maxConnections, 1, 4294967295) }),
  };
}
