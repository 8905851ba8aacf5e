// Determines the workloads of this host with which its BIRD speaks BGP: those that a BGPPeer selects by `localWorkloadSelector`. The BIRD agent decides about the sessions by the same values.
import type { IpAddress } from '@calico-openstack/addresses';
import { decodeResource, sameContent, type WorkloadPeering } from '@calico-openstack/datamodel';
import type { PeeringSettings, WorkloadPeer } from '../decode/workload-peer.ts';
import { type LabelLookup, matches } from '../selector/evaluate.ts';

const bgpPort = 179;

/** The relevant values of BGPPeers, BGPConfiguration and this host's Node. */
export class WorkloadPeerings {
  readonly #host: string;
  readonly #peers = new Map<string, WorkloadPeer>();
  #cluster: PeeringSettings | undefined;
  #port: number | undefined;
  #nodeLabels: LabelLookup = new Map();

  constructor(host: string) {
    this.#host = host;
  }

  /** The hosts' own addresses in sessions with workloads; none while no BGPPeer has such sessions. */
  get addresses(): readonly IpAddress[] {
    return this.#peers.size > 0 ? (this.#cluster?.addresses ?? []) : [];
  }

  /** Each returns whether anything may follow for workloads. */
  setPeer(name: string, peer: WorkloadPeer | undefined): boolean {
    if (sameContent(this.#peers.get(name), peer)) return false;
    if (peer) this.#peers.set(name, peer);
    else this.#peers.delete(name);
    return true;
  }

  setSettings(name: string, settings: PeeringSettings | undefined): boolean {
    if (name === 'default') this.#cluster = settings;
    else if (name === `node.${this.#host}`) this.#port = settings?.port;
    else return false;
    return this.#peers.size > 0;
  }

  /** @param bytes the value of this host's Node; undefined when there is none */
  setNode(name: string, bytes: Uint8Array | undefined): boolean {
    if (name !== this.#host) return false;
    const node = bytes && decodeResource(bytes);
    this.#nodeLabels = new Map(node?.ok ? Object.entries(node.value.metadata.labels) : []);
    return this.#peers.size > 0;
  }

  /** @param isOthers whether an address is somebody else's: then the host must not have it on any interface */
  of(labels: LabelLookup, isOthers: (address: IpAddress) => boolean): WorkloadPeering | undefined {
    if (this.#peers.size === 0 || !this.#cluster) return undefined;
    const isPeer = [...this.#peers.values()].some((peer) => this.#holdsHere(peer) && matches(peer.workloads, labels));
    const addresses = isPeer ? this.#cluster.addresses.filter((address) => !isOthers(address)) : [];
    return addresses.length > 0 ? { addresses, port: this.#port ?? this.#cluster.port ?? bgpPort } : undefined;
  }

  #holdsHere({ hosts }: WorkloadPeer): boolean {
    if (!hosts) return true;
    return 'name' in hosts ? hosts.name === this.#host : matches(hosts.labels, this.#nodeLabels);
  }
}
