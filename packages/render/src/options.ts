// The options of rules and devices, which follow from the operator's configuration. Felix resolves the configuration and passes all of it.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';

/** The options of a rendering. */
export type RenderOptions = {
  /** Prefixes of the names of workload interfaces. Packets from and to such an interface are dropped unless an endpoint is known for it. Never empty. */
  readonly interfacePrefixes: readonly string[];
  /** The metadata service: where packets to 169.254.169.254:80 are sent. Absent when there is none. */
  readonly metadata?: { readonly address: IpAddress; readonly port: number };
  /** The action for a packet from a workload to the host that the workload's egress policy allows. */
  readonly endpointToHostAction: 'DROP' | 'RETURN' | 'ACCEPT';
  /** The action for a packet that policy denies. */
  readonly denyAction: 'DROP' | 'REJECT';
  /** A bit of the packet mark that says, while the rules judge a packet, that policy accepts it. */
  readonly acceptMark: number;
  /** A bit of the packet mark that says, while the rules judge a packet, that a Pass rule ended the tier. */
  readonly passMark: number;
  /** Two bits of the connection mark that say which side's policy let the connection through (stamps.ts). They differ from those of the packet mark, because other programs copy one mark to the other. */
  readonly stamps: ConnectionStamps;
  /** How packets of established connections without a stamp are treated. `pass` is used while connections that an earlier version let through are being stamped. */
  readonly unstamped: 'judge' | 'pass';
  /** Whether IPv6 from and to workloads is allowed at all. If not, it is dropped. */
  readonly ipv6: boolean;
  /** Whether workloads may send VXLAN, to `vxlanPort`. */
  readonly allowVxlanFromWorkloads: boolean;
  /** Whether workloads may send IP in IP. */
  readonly allowIpipFromWorkloads: boolean;
  readonly vxlanPort: number;
  /** Outgoing NAT of IP pools: the address and the ports that packets leave with. Without an address of a packet's family it is one of the interface that the packet leaves by. */
  readonly natOutgoing: {
    readonly address?: IpAddress;
    readonly ports?: { readonly first: number; readonly last: number };
    /** The interface that packets have to leave by; with `+` at its end, the beginning of its name. Absent when it may be any. */
    readonly leavesBy?: string;
    /** Whether packets to the cloud's hosts keep the address of the workload. */
    readonly exceptHosts?: boolean;
  };
  /** Whether packets that conntrack calls invalid are denied. */
  readonly dropInvalid: boolean;
  /** The prefix of a Log rule's line. `%t` stands for the policy's tier, `%k` for its kind, `%n` for its name and `%p` for namespace/name. */
  readonly logPrefix: string;
  /** The most lines that each Log rule writes. Packets beyond the limit are judged all the same, but not logged. Absent when there is no limit. */
  readonly logLimit?: { readonly rate: number; readonly unit: 'second' | 'minute' | 'hour' | 'day'; readonly burst: number };
  /** Whether source MACs must be the port's, and addresses that are claimed by ARP and neighbour discovery the workload's own. Upstream has no such check. */
  readonly antiSpoofLinkLayer: boolean;
  /** The ports that stay open whatever host endpoints' policies say: `inbound` of the host itself, `outbound` of others. */
  readonly failsafes: { readonly inbound: readonly FailsafePort[]; readonly outbound: readonly FailsafePort[] };
};

/** A port of the host that no policy of a host endpoint closes; with `net`, for that other end only. */
export type FailsafePort = { readonly protocol: 'tcp' | 'udp'; readonly net?: Cidr; readonly port: number };

/** The bit of the connection mark for each side's stamp. */
export type ConnectionStamps = { readonly egress: number; readonly ingress: number };

/** The options that apply when nothing is configured. */
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
  natOutgoing: {},
  dropInvalid: true,
  logPrefix: 'calico-packet',
  logLimit: { rate: 20, unit: 'second', burst: 5 },
  antiSpoofLinkLayer: true,
  failsafes: { inbound: [], outbound: [] },
};
