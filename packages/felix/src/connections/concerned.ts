// Derives which connections a change may have taken permission from: those that have one of these addresses. It follows from the change alone, without reading any connection. No I/O.
import { addressOf, type Cidr, hostCidr, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import {
  type DesiredChange,
  type IpSetChange,
  type IpSetId,
  type LocalWorkload,
  type Policy,
  type PolicyId,
  type Profile,
  type ProfileId,
  type Rule,
  sameContent,
  type WorkloadId,
} from '@calico-openstack/datamodel';

/** The addresses whose connections a change may concern. */
export type Concerned = ReadonlySet<IpAddress> | 'all';

/** The policies and profiles that use an IP set, and how many of their uses do anything else than to allow its members. */
type Usage = { readonly users: Set<PolicyId | ProfileId>; otherwise: number };
type Rules = Pick<Policy, 'ingress' | 'egress'>;

/** Collects addresses until they are taken. */
export class ConcernedAddresses {
  readonly #rules = new Map<PolicyId | ProfileId, Rules>();
  readonly #usage = new Map<IpSetId, Usage>();
  readonly #workloads = new Map<WorkloadId, LocalWorkload>();
  /** All at the start, because connections may have begun under an earlier run. */
  #addresses: Set<IpAddress> | 'all' = 'all';

  /** Notes that something has changed on which every endpoint depends. */
  noteAll(): void {
    this.#addresses = 'all';
  }

  /** Adds the addresses that a change may concern. */
  note(change: DesiredChange): void {
    const changed = new Set<PolicyId | ProfileId>();
    for (const [id, set] of change.ipSets) this.#noteSet(id, set, changed);
    for (const [id, policy] of change.policies) this.#noteRules(id, policy, changed);
    for (const [id, profile] of change.profiles) this.#noteRules(id, profile, changed);
    for (const [id, workload] of change.workloads) this.#noteWorkload(id, workload);
    if (changed.size > 0) for (const workload of this.#workloads.values()) if (isUnder(workload, changed)) this.#addAll(workload);
  }

  /** Returns what was noted since the last call. */
  take(): Concerned {
    const taken = this.#addresses;
    this.#addresses = new Set();
    return taken;
  }

  #add(address: IpAddress): void {
    if (this.#addresses !== 'all') this.#addresses.add(address);
  }

  #addAll(workload: LocalWorkload): void {
    for (const cidr of workload.routed) if (isHostCidr(cidr)) this.#add(addressOf(cidr));
  }

  /** Members that left a set may have lost a permission, and members that joined may be denied now. Connections without one of these members are not concerned. */
  #noteSet(id: IpSetId, set: IpSetChange, changed: Set<PolicyId | ProfileId>): void {
    const usage = this.#usage.get(id);
    if (!usage) return; // nothing uses the set yet; the rules that begin to use it are noted themselves
    if (set.change !== 'members') {
      for (const user of usage.users) changed.add(user);
      return;
    }
    const members: readonly (Cidr | { readonly address: IpAddress })[] = [...set.removed, ...(usage.otherwise > 0 ? set.added : [])];
    for (const member of members) {
      const cidr = typeof member === 'string' ? member : hostCidr(member.address);
      if (isHostCidr(cidr)) this.#add(addressOf(cidr));
      else for (const user of usage.users) changed.add(user);
    }
  }

  #noteRules(id: PolicyId | ProfileId, next: Policy | Profile | undefined, changed: Set<PolicyId | ProfileId>): void {
    const before = this.#rules.get(id);
    if (before) this.#use(id, before, -1);
    if (next) {
      this.#rules.set(id, next);
      this.#use(id, next, 1);
    } else this.#rules.delete(id);
    if (before && !(next && onlyLetsMoreThrough(before.ingress, next.ingress) && onlyLetsMoreThrough(before.egress, next.egress))) changed.add(id);
  }

  #use(id: PolicyId | ProfileId, { ingress, egress }: Rules, count: 1 | -1): void {
    for (const { action, source, destination } of [...ingress, ...egress]) {
      for (const side of [source, destination]) {
        for (const set of [...(side.sets ?? []), ...(side.namedPorts ?? [])]) this.#count(set, id, count, action === 'allow' ? 0 : count);
        for (const set of [...(side.notSets ?? []), ...(side.notNamedPorts ?? [])]) this.#count(set, id, count, count);
      }
    }
  }

  #count(set: IpSetId, id: PolicyId | ProfileId, count: 1 | -1, otherwise: number): void {
    const usage = this.#usage.get(set) ?? { users: new Set(), otherwise: 0 };
    usage.otherwise += otherwise;
    if (count > 0) usage.users.add(id);
    else usage.users.delete(id);
    if (usage.users.size > 0) this.#usage.set(set, usage);
    else this.#usage.delete(set);
  }

  #noteWorkload(id: WorkloadId, next: LocalWorkload | undefined): void {
    const before = this.#workloads.get(id);
    if (next) this.#workloads.set(id, next);
    else this.#workloads.delete(id);
    // All connections of a workload that is gone are cut anyway. Those of a new workload are concerned, because it may have come from another host with them.
    if (!next) return;
    if (before) this.#addAll(before);
    this.#addAll(next);
  }
}

const isUnder = ({ policy: { ingress, egress, profiles } }: LocalWorkload, ids: ReadonlySet<PolicyId | ProfileId>): boolean =>
  profiles.some((id) => ids.has(id)) || [...ingress, ...egress].some(({ policies }) => policies.some((id) => ids.has(id)));

/** Whether `after` has all rules of `before` in their order, and the additional ones only allow or log. Such a change takes permission from nobody. */
export function onlyLetsMoreThrough(before: readonly Rule[], after: readonly Rule[]): boolean {
  let kept = 0;
  for (const rule of after) {
    if (kept < before.length && sameContent(rule, before[kept])) kept += 1;
    else if (rule.action !== 'allow' && rule.action !== 'log') return false;
  }
  return kept === before.length;
}
