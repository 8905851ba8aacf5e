// What the operator's configuration decides about the rules and devices. Felix reads it from its sources and hands it over whole.
import type { IpAddress } from '@calico-openstack/datamodel';

export type RenderOptions = {
  /** Beginnings of the names of workload interfaces: everything from and to such an interface that is not known is dropped. Never empty. */
  readonly interfacePrefixes: readonly string[];
  /** Where 169.254.169.254:80 leads. */
  readonly metadata?: { readonly address: IpAddress; readonly port: number };
  /** What happens to a packet from a workload to the host that the workload's egress policy allows. */
  readonly endpointToHostAction: 'DROP' | 'RETURN' | 'ACCEPT';
  readonly denyAction: 'DROP' | 'REJECT';
  /** Two bits of the packet mark that are ours while a packet is judged. */
  readonly acceptMark: number;
  readonly passMark: number;
  /** Two bits of the connection mark that are ours for good: which side's policy let the connection through (stamps.ts). Other bits than those of the packet mark, for whoever copies one to the other. */
  readonly stamps: ConnectionStamps;
  /** What becomes of established connections without a stamp. `pass` while those that an earlier version let through are being stamped. */
  readonly unstamped: 'judge' | 'pass';
  /** false: IPv6 from and to workloads is dropped. */
  readonly ipv6: boolean;
  readonly allowVxlanFromWorkloads: boolean;
  readonly allowIpipFromWorkloads: boolean;
  readonly vxlanPort: number;
  readonly dropInvalid: boolean;
  /** Begins the log line of a Log rule; `%t` tier, `%k` kind, `%n` name, `%p` namespace/name of the policy. */
  readonly logPrefix: string;
  /** How much each Log rule writes at most; packets beyond it are not logged, and judged the same. Absent: no bound. */
  readonly logLimit?: { readonly rate: number; readonly unit: 'second' | 'minute' | 'hour' | 'day'; readonly burst: number };
  /** Holds source MACs to the port's, and what a workload claims by ARP and neighbour discovery to its addresses: ours, upstream has no such thing. */
  readonly antiSpoofLinkLayer: boolean;
};

export type ConnectionStamps = { readonly egress: number; readonly ingress: number };

export const defaultRenderOptions: RenderOptions = {
  interfacePrefixes: ['cali', 'tap'],
  endpointToHostAction: 'DROP',
  denyAction: 'DROP',
  acceptMark: 0x10000,
  passMark: 0x20000,
  stamps: { egress: 0x40000, ingress: 0x80000 },
  unstamped: 'judge',
  ipv6: true,
  allowVxlanFromWorkloads: false,
  allowIpipFromWorkloads: false,
  vxlanPort: 4789,
  dropInvalid: true,
  logPrefix: 'calico-packet',
  logLimit: { rate: 20, unit: 'second', burst: 5 },
  antiSpoofLinkLayer: true,
};
