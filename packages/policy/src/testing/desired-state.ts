// The desired state that a receiver builds from the changes. It checks the promises that every change makes.
import type { Cidr } from '@calico-openstack/addresses';
import {
  type DesiredChange,
  type EndpointPolicy,
  type HostEndpointId,
  type IpPool,
  type IpSetId,
  type IpSetKind,
  type IpSetMember,
  type LocalHostEndpoint,
  type LocalWorkload,
  type Policy,
  type PolicyId,
  type Profile,
  type ProfileId,
  type Rule,
  sameContent,
  type WorkloadId,
} from '@calico-openstack/datamodel';

const memberText = (member: IpSetMember): string => (typeof member === 'string' ? member : `${member.address},${member.protocol},${member.port}`);

export class DesiredState {
  readonly ipSets = new Map<IpSetId, { readonly kind: IpSetKind; readonly members: Set<string> }>();
  readonly policies = new Map<PolicyId, Policy>();
  readonly profiles = new Map<ProfileId, Profile>();
  readonly workloads = new Map<WorkloadId, LocalWorkload>();
  readonly hostEndpoints = new Map<HostEndpointId, LocalHostEndpoint>();
  readonly pools = new Map<string, IpPool>();
  readonly reserved = new Map<Cidr, true>();
  readonly nodes = new Map<Cidr, true>();

  /** Applies a change. Throws when the change repeats or contradicts an earlier one. */
  apply(change: DesiredChange): void {
    for (const [id, set] of change.ipSets) this.#applySet(id, set);
    merge(this.policies, change.policies);
    merge(this.profiles, change.profiles);
    merge(this.workloads, change.workloads);
    merge(this.hostEndpoints, change.hostEndpoints);
    merge(this.pools, change.pools);
    merge(this.reserved, change.reserved);
    merge(this.nodes, change.nodes);
  }

  #applySet(id: IpSetId, change: DesiredChange['ipSets'] extends ReadonlyMap<IpSetId, infer Change> ? Change : never): void {
    if (!/^[a-z0-9]{1,24}$/.test(id)) throw new Error(`${id} is no id of a set`);
    const held = this.ipSets.get(id);
    if (change.change === 'whole') {
      if (held) throw new Error(`set ${id} comes whole though it was there`);
      const members = [...change.members].map(memberText);
      if (new Set(members).size !== members.length) throw new Error(`set ${id} has a member twice`);
      this.ipSets.set(id, { kind: change.kind, members: new Set(members) });
      return;
    }
    if (!held) throw new Error(`set ${id} changes though it was not there`);
    if (change.change === 'removed') {
      this.ipSets.delete(id);
      return;
    }
    if (held.kind !== change.kind) throw new Error(`set ${id} changes its kind`);
    if (change.added.length + change.removed.length === 0) throw new Error(`set ${id} changes by nothing`);
    for (const member of change.removed)
      if (!held.members.delete(memberText(member))) throw new Error(`set ${id} loses ${memberText(member)}, which it did not have`);
    for (const member of change.added) {
      if (held.members.has(memberText(member))) throw new Error(`set ${id} gains ${memberText(member)}, which it had`);
      held.members.add(memberText(member));
    }
  }

  /** References that do not resolve, and objects that nothing refers to. */
  looseEnds(): string[] {
    const used = { sets: new Map<string, IpSetKind>(), policies: new Set<string>(), profiles: new Set<string>() };
    const endpoint = ({ ingress, egress, profiles }: EndpointPolicy): void => {
      for (const tier of [...ingress, ...egress]) for (const id of tier.policies) used.policies.add(id);
      for (const id of profiles) used.profiles.add(id);
    };
    for (const { policy } of this.workloads.values()) endpoint(policy);
    for (const { policy, forward, untracked, preDnat } of this.hostEndpoints.values()) for (const part of [policy, forward, untracked, preDnat]) endpoint(part);
    const rule = ({ source, destination }: Rule): void => {
      for (const side of [source, destination]) {
        for (const id of [...(side.sets ?? []), ...(side.notSets ?? [])]) used.sets.set(id, 'addresses');
        for (const id of [...(side.namedPorts ?? []), ...(side.notNamedPorts ?? [])]) used.sets.set(id, 'named-ports');
      }
    };
    for (const { ingress, egress } of [...this.policies.values(), ...this.profiles.values()]) for (const one of [...ingress, ...egress]) rule(one);
    const sets = [...used.sets].filter(([id, kind]) => this.ipSets.get(id as IpSetId)?.kind !== kind).map(([id]) => `set ${id} is missing`);
    return [
      ...sets,
      ...[...this.ipSets.keys()].filter((id) => !used.sets.has(id)).map((id) => `set ${id} is used by nobody`),
      ...differences('policy', used.policies, this.policies),
      ...differences('profile', used.profiles, this.profiles),
    ];
  }

  /** The state as plain values, for comparison. */
  content(): object {
    const sorted = <Id extends string, Value>(map: ReadonlyMap<Id, Value>): object =>
      Object.fromEntries([...map].sort(([one], [other]) => (one < other ? -1 : 1)));
    return {
      ipSets: sorted(new Map([...this.ipSets].map(([id, { kind, members }]) => [id, { kind, members: [...members].sort() }]))),
      policies: sorted(this.policies),
      profiles: sorted(this.profiles),
      workloads: sorted(this.workloads),
      hostEndpoints: sorted(this.hostEndpoints),
      pools: sorted(this.pools),
      reserved: sorted(this.reserved),
      nodes: sorted(this.nodes),
    };
  }
}

function merge<Id, Value>(held: Map<Id, Value>, change: ReadonlyMap<Id, Value | undefined>): void {
  for (const [id, value] of change) {
    if (sameContent(held.get(id), value)) throw new Error(`${String(id)} is reported again without a change`);
    if (value === undefined) held.delete(id);
    else held.set(id, value);
  }
}

function differences(what: string, used: ReadonlySet<string>, held: ReadonlyMap<string, unknown>): string[] {
  return [
    ...[...used].filter((id) => !held.has(id)).map((id) => `${what} ${id} is missing`),
    ...[...held.keys()].filter((id) => !used.has(id)).map((id) => `${what} ${id} is used by nobody`),
  ];
}
