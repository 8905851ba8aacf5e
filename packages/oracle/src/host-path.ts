// Judges a packet by the host endpoints on its way through a host, one place after the other.
import { type Address, readAddress, readPrefix, within } from './address.ts';
import type { HostQuestion, Packet, Place, Say } from './judge.ts';
import type { HostEndpoint, World } from './world.ts';

/** A port of the host, or of others, that stays open. */
export type Failsafe = { readonly protocol: 'tcp' | 'udp'; readonly port: number; readonly net?: string };

/** The host that a packet meets. */
export type HostOnPath = {
  readonly node: string;
  /** The host's interfaces, workloads' too, with their addresses. */
  readonly interfaces: ReadonlyMap<string, readonly string[]>;
  readonly isWorkloads: (interfaceName: string) => boolean;
  readonly inbound: readonly Failsafe[];
  readonly outbound: readonly Failsafe[];
};

/** The first packet of a connection, and the interfaces of the host that it comes in and leaves by. Without one, that end is the host itself. */
export type HostPath = { readonly host: HostOnPath; readonly in?: string; readonly out?: string; readonly packet: Packet };

/** The packet is allowed when no host endpoint denies it. `untracked` is true when a rule allows it before connection tracking, so that its answer is judged as a packet of its own. */
export type PathAnswer = { readonly verdict: 'allow' | 'deny'; readonly untracked: boolean; readonly says: readonly (Say & { readonly place: Place })[] };

/** Judges by the host endpoints of a path. @param ask judges by one host endpoint at one place */
export function askPath(world: World, ask: (question: HostQuestion) => Say, path: HostPath): PathAnswer {
  const { host, in: from, out: to, packet } = path;
  const says: (Say & { readonly place: Place })[] = [];
  /** Asks at one place. `decided` when a rule allows the packet. */
  const at = (interfaceName: string, direction: 'ingress' | 'egress', place: HostQuestion['place']): 'denied' | 'decided' | 'goes on' => {
    const governor = governorOf(world, host, interfaceName, place === 'untracked');
    if (!governor) return 'goes on';
    const say = ask({ hostEndpoint: governor.key, direction, place, packet });
    says.push({ ...say, place });
    return say.verdict === 'deny' ? 'denied' : say.reason.because === 'rule' ? 'decided' : 'goes on';
  };
  const answer = (denied: boolean): PathAnswer => ({
    verdict: denied ? 'deny' : 'allow',
    untracked: !denied && says.some(({ place, reason }) => place === 'untracked' && reason.because === 'rule'),
    says,
  });
  const isWorkloads = (name: string | undefined): boolean => name !== undefined && host.isWorkloads(name);

  let decided = false;
  if (from !== undefined) {
    const early = isWorkloads(from) || isFailsafe(host, packet, 'in', true) ? 'goes on' : at(from, 'ingress', 'untracked');
    const next = early !== 'goes on' || isFailsafe(host, packet, 'in') ? early : at(from, 'ingress', 'before DNAT');
    if (next === 'denied') return answer(true);
    decided = next === 'decided';
    if (!decided && to === undefined && !isWorkloads(from) && !isFailsafe(host, packet, 'in')) return answer(at(from, 'ingress', 'local') === 'denied');
    if (!decided && to !== undefined && at(from, 'ingress', 'forwarded') === 'denied') return answer(true);
  }
  if (to === undefined) return answer(false);
  if (from !== undefined) return answer(at(to, 'egress', 'forwarded') === 'denied');
  if (isWorkloads(to)) return answer(false);
  const early = isFailsafe(host, packet, 'out', true) ? 'goes on' : at(to, 'egress', 'untracked');
  if (early !== 'goes on') return answer(early === 'denied');
  return answer(!isFailsafe(host, packet, 'out') && at(to, 'egress', 'local') === 'denied');
}

/**
 * The host endpoint of an interface: the first by name of those that name it, or that name none and expect one of its addresses; otherwise the first for every interface. Loopback has none,
 * and a workload's interface has none of its own.
 */
function governorOf(world: World, host: HostOnPath, interfaceName: string, untracked: boolean): HostEndpoint | undefined {
  if (interfaceName === 'lo') return undefined;
  const addresses = (host.interfaces.get(interfaceName) ?? []).map((text) => readAddress(text)!);
  const here = [...world.hostEndpoints.values()].filter(({ node }) => node === host.node).sort((one, other) => (one.key < other.key ? -1 : 1));
  const expects = ({ prefixes }: HostEndpoint): boolean => prefixes.some((prefix) => addresses.some((address) => within(prefix, address)));
  const own = host.isWorkloads(interfaceName)
    ? undefined
    : here.find((each) => (each.interfaceName === undefined ? expects(each) : each.interfaceName === interfaceName));
  return own ?? (untracked ? undefined : here.find(({ everyInterface }) => everyInterface));
}

const discovery = [130, 131, 132, 133, 134, 135, 136, 143];

/** Whether the packet passes whatever policies say. @param answers whether it passes also as the answer in a connection of a failsafe port */
function isFailsafe({ inbound, outbound }: HostOnPath, packet: Packet, way: 'in' | 'out', answers = false): boolean {
  const { protocol, sourcePort, destinationPort, icmpType } = packet;
  if (protocol === 58 && icmpType !== undefined && discovery.includes(icmpType)) return true;
  const name = protocol === 6 ? 'tcp' : protocol === 17 ? 'udp' : undefined;
  const far = readAddress(way === 'in' ? packet.source : packet.destination)!;
  const fits = (list: readonly Failsafe[], port: number | undefined): boolean =>
    list.some((each) => each.protocol === name && each.port === port && (each.net === undefined || isIn(each.net, far)));
  const [asked, answered] = way === 'in' ? [inbound, outbound] : [outbound, inbound];
  return fits(asked, destinationPort) || (answers && fits(answered, sourcePort));
}

function isIn(net: string, address: Address): boolean {
  const prefix = readPrefix(net);
  return prefix !== undefined && within(prefix, address);
}
