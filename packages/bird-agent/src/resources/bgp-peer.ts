// Decodes BGPPeers: sessions in addition to the mesh.
import type { IpAddress } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeResource, isFields, refused } from '@calico-openstack/datamodel';
import { type FieldProblem, integer, list, oneOf, readFields, text, truth } from './fields.ts';
import { asNumber, durationSeconds, type Neighbor, neighbor, password, restartSeconds, type SecretRef, speakerAddress, wantsBfd } from './values.ts';

/** The hosts to which the BGPPeer applies. */
export type PeerHosts = { readonly kind: 'all' } | { readonly kind: 'node'; readonly node: string } | { readonly kind: 'selector'; readonly selector: string };

/** The other end: a speaker by its address, the hosts that a selector finds, or the workloads of this host that one finds. */
export type PeerRemotes =
  | { readonly kind: 'address'; readonly neighbor: Neighbor; readonly asNumber: number }
  | { readonly kind: 'selector'; readonly selector: string }
  | { readonly kind: 'workloads'; readonly selector: string; readonly asNumber: number };

/** A BGPPeer. */
export type BgpPeer = {
  readonly name: string;
  /** When it was created, in milliseconds since 1970; Infinity when that is not known. */
  readonly madeMs: number;
  readonly hosts: PeerHosts;
  readonly remotes: PeerRemotes;
  /** Whether the hosts that `remotes` finds peer back without a BGPPeer of their own. */
  readonly reversePeering: boolean;
  readonly localAsNumber: number | undefined;
  readonly nextHop: 'auto' | 'self' | 'keep';
  readonly useNodeIp: boolean;
  readonly password: SecretRef | undefined;
  readonly maxRestartSeconds: number | undefined;
  readonly keepaliveSeconds: number | undefined;
  /** The hold time of its sessions. When undefined, the agent's option applies. */
  readonly holdSeconds: number | undefined;
  readonly bfd: boolean;
  readonly allowedLocalAsNumbers: number | undefined;
  readonly ttlSecurityHops: number | undefined;
  readonly reachableBy: IpAddress | undefined;
  /** The names of its BGPFilters, in order. */
  readonly filters: readonly string[];
  readonly unsupported: readonly string[];
};

/** Why there is no session, and with which neighbour: the mesh must not replace a peer that was to have a filter or a password. */
export type PeerRefusal = { readonly ok: false; readonly reason: string; readonly neighbor: IpAddress | undefined };

/** Decodes a BGPPeer. One invalid field refuses it. */
export function decodeBgpPeer(name: string, bytes: Uint8Array): { readonly ok: true; readonly value: BgpPeer } | PeerRefusal {
  const resource = decodeResource(bytes);
  if (!resource.ok) return { ...resource, neighbor: undefined };
  const problems: FieldProblem[] = [];
  const spec = readFields(resource.value.spec, 'spec', problems);
  const hosts = peerHosts(spec.read('node', text), spec.read('nodeSelector', text));
  const remotes = peerRemotes({
    address: spec.read('peerIP', neighbor),
    asNumber: spec.read('asNumber', peerAsNumber),
    hosts: spec.read('peerSelector', text),
    workloads: spec.read('localWorkloadSelector', text),
  });
  const nextHopMode = spec.read('nextHopMode', oneOf('Auto', 'Self', 'Keep'));
  const keepOriginalNextHop = spec.read('keepOriginalNextHop', truth);
  if (keepOriginalNextHop && nextHopMode) spec.problem('nextHopMode', 'cannot stand beside keepOriginalNextHop');
  const madeMs = Date.parse(resource.value.metadata.creationTimestamp ?? '');
  const peer = {
    name,
    madeMs: Number.isNaN(madeMs) ? Number.POSITIVE_INFINITY : madeMs,
    reversePeering: (spec.read('reversePeering', oneOf('Auto', 'Manual')) ?? 'Auto') === 'Auto',
    localAsNumber: spec.read('localASNumber', peerAsNumber),
    nextHop: nextHops[nextHopMode ?? (keepOriginalNextHop ? 'Keep' : 'Auto')],
    useNodeIp: (spec.read('sourceAddress', oneOf('UseNodeIP', 'None')) ?? 'UseNodeIP') === 'UseNodeIP',
    password: spec.read('password', password),
    maxRestartSeconds: spec.read('maxRestartTime', restartSeconds),
    // BIRD requires a hold time of at least twice this, and the hold time has 16 bits.
    keepaliveSeconds: spec.read('keepaliveTime', durationSeconds(1, 21845)),
    holdSeconds: spec.read('holdTime', durationSeconds(3, 65535)),
    bfd: wantsBfd(resource.value.metadata.annotations),
    allowedLocalAsNumbers: spec.read('numAllowedLocalASNumbers', integer(0, 255)),
    ttlSecurityHops: spec.read('ttlSecurity', integer(0, 255)) || undefined,
    reachableBy: spec.read('reachableBy', speakerAddress),
    filters: spec.read('filters', list(text)) ?? [],
    unsupported: [] as readonly string[],
  };
  if (peer.holdSeconds !== undefined && peer.holdSeconds < 3 * (peer.keepaliveSeconds ?? 0)) spec.problem('holdTime', 'is less than three times keepaliveTime');
  if (peer.reachableBy && remotes.ok && !sameFamily(remotes.value, peer.reachableBy)) spec.problem('reachableBy', 'is not of the family of spec.peerIP');
  const [problem] = problems;
  const reason = problem ? `${problem.field}: ${problem.reason}` : !hosts.ok ? hosts.reason : !remotes.ok ? remotes.reason : undefined;
  if (reason !== undefined || !hosts.ok || !remotes.ok) return { ok: false, reason: reason ?? '', neighbor: addressIn(resource.value.spec) };
  return { ok: true, value: { ...peer, hosts: hosts.value, remotes: remotes.value, unsupported: spec.unread().map(spec.path) } };
}

const nextHops = { Auto: 'auto', Self: 'self', Keep: 'keep' } as const;

/** An AS number; 0 means absent. */
const peerAsNumber: typeof asNumber | ((value: unknown) => Decoded<number | undefined>) = (value: unknown) =>
  value === 0 ? decoded(undefined) : asNumber(value);

function peerHosts(node: string | undefined, selector: string | undefined): Decoded<PeerHosts> {
  if (node !== undefined && selector !== undefined) return refused('spec.node and spec.nodeSelector exclude each other');
  if (node !== undefined) return decoded({ kind: 'node', node });
  return decoded(selector === undefined ? { kind: 'all' } : { kind: 'selector', selector });
}

type RemoteFields = {
  readonly address: Neighbor | undefined;
  readonly asNumber: number | undefined;
  readonly hosts: string | undefined;
  readonly workloads: string | undefined;
};

function peerRemotes({ address, asNumber: as, hosts, workloads }: RemoteFields): Decoded<PeerRemotes> {
  if (workloads !== undefined) {
    if (address || hosts !== undefined) return refused('spec.localWorkloadSelector excludes spec.peerIP and spec.peerSelector');
    return as === undefined ? refused('spec.asNumber: is missing') : decoded({ kind: 'workloads', selector: workloads, asNumber: as });
  }
  if (hosts !== undefined)
    return address || as ? refused('spec.peerSelector excludes spec.peerIP and spec.asNumber') : decoded({ kind: 'selector', selector: hosts });
  if (!address) return refused('spec.peerIP: is missing, and so is spec.peerSelector');
  return as === undefined ? refused('spec.asNumber: is missing') : decoded({ kind: 'address', neighbor: address, asNumber: as });
}

const sameFamily = (remotes: PeerRemotes, address: IpAddress): boolean =>
  remotes.kind !== 'address' || remotes.neighbor.address.includes(':') === address.includes(':');

/** The neighbour's address in a refused BGPPeer, if that at least is valid. */
function addressIn(spec: unknown): IpAddress | undefined {
  const parsed = neighbor(isFields(spec) ? spec['peerIP'] : undefined);
  return parsed.ok ? parsed.value.address : undefined;
}
