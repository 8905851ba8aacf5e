// The public interface of the room. Values and types are pure; functions called `open…` open sockets. Each fake is beside the real thing: `@calico-openstack/kernel/links/fake` …

export type { Conntrack, Flow, FlowChange, FlowDeletion, FlowMarking, FlowRecord, FlowReview, FlowSides, FlowTuple } from './conntrack/flow.ts';
export { openConntrack } from './conntrack/netlink.ts';
export type { HostAddress, HostAddresses } from './host-addresses/host-address.ts';
export { openHostAddresses } from './host-addresses/netlink.ts';
export { destroyIpsets, ipsetNames } from './ipset/ipset.ts';
export {
  type AddressOptions,
  isInterfaceName,
  type Link,
  type LinkAddress,
  type LinkChange,
  type LinkEditor,
  type LinkRefusal,
  type Links,
} from './links/link.ts';
export { openLinks } from './links/netlink.ts';
export { type KernelNeighbour, type Neighbour, neighbourKey, printNeighbour } from './neighbours/neighbour.ts';
export { type NeighbourTable, openNeighbours } from './neighbours/netlink.ts';
export { createNeighbourProgrammer, ownsNeighbours } from './neighbours/programmer.ts';
export { type NetlinkMonitor, openMonitor } from './netlink/monitor.ts';
export { inNamespace } from './netlink/namespace.ts';
export { NetlinkError } from './netlink/socket.ts';
export { basesAt, evaluateIn, type Packet, type Rules } from './nftables/evaluate.ts';
export type * from './nftables/objects.ts';
export { type OtherChain, type OtherChains, ordinaryPacket, readOtherChains } from './nftables/other-chains.ts';
export { hostU32, linkNameBytes, type OrdinaryPacket } from './nftables/other-verdicts.ts';
export { type ChainName, chainExists, chainLeadsTo, deleteTables } from './nftables/others.ts';
export { printTable } from './nftables/print.ts';
export { type OpenTable, openTable, type TableOptions } from './nftables/table.netlink.ts';
export { type ApplyReport, NftablesError, type NftRefusal, type TableCounts, type TableProgrammer } from './nftables/table.ts';
export { type Committer, watchRuleset } from './nftables/watch.ts';
export { type Arp, arpEtherType, arpMessageFrame, arpOperationAt, parseArp } from './packets/arp.ts';
export { type Icmp6, icmp6Frame, parseIcmp6 } from './packets/icmp6.ts';
export { type Frame, openPacketSocket, type PacketSocket } from './packets/packet-socket.ts';
export { sendUdp4ToSelf } from './packets/udp4.ts';
export { parseUdp6, type Udp6, udp6Frame } from './packets/udp6.ts';
export type { Devices, Programmer, ProgrammingRefusal, ProgrammingReport } from './programmer/programmer.ts';
export { openQdiscs } from './qdiscs/netlink.ts';
export type { TokenBucket } from './qdiscs/qdisc.ts';
export { createShaper, type Shaper, type ShaperRights, type Shaping } from './qdiscs/shaper.ts';
export { openRoutes, type RouteFilter, type RouteTable } from './routes/netlink.ts';
export { createRouteProgrammer, ownsRoutes } from './routes/programmer.ts';
export {
  blackholeRoute,
  deviceRoute,
  type KernelRoute,
  printRoute,
  type Route,
  type RouteType,
  routeKey,
  routeProtocol,
  routeScope,
  routeTable,
} from './routes/route.ts';
export { type NetconfChange, watchNetconf } from './sysctl/netconf.ts';
export { readSysctl, SysctlError, type SysctlOptions, writeSysctl } from './sysctl/sysctl.ts';
