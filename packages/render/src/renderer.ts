// Translates changes of the desired local state into edits of tables and devices. Each step costs what it changes.
import { hostCidr } from '@calico-openstack/addresses';
import {
  type DesiredChange,
  type IpSetId,
  type LocalHostEndpoint,
  type LocalWorkload,
  type Policy,
  type PolicyId,
  type Profile,
  type ProfileId,
  sameContent,
  type WorkloadId,
} from '@calico-openstack/datamodel';
import { baseChains, baseSets, natChains, policed, toHost, type Used, unused } from './base.ts';
import { Classes } from './classes.ts';
import { type ConstantSet, Constants } from './constants.ts';
import { deviceOf, type WorkloadDevice } from './devices.ts';
import { EditList, type TableEdits, type TableName } from './edits.ts';
import { HostEndpoints, hostEndpointChains } from './host-endpoints.ts';
import { type Direction, policyChain, profileChain } from './names.ts';
import type { RenderOptions } from './options.ts';
import { Others, othersAtStart } from './others.ts';
import { ExceptedHosts, PoolPrefixes } from './outgoing-nat.ts';
import { SharedChains, sharedChainsOf } from './prefixes.ts';
import { QosChains } from './qos.ts';
import { type Reach, reachOf } from './reach.ts';
import { renderRules } from './rules.ts';
import { Sets } from './sets.ts';
import { stampElements, stampSet } from './stamps.ts';
import { type Contributions, contributionsOf, emitContributions, noContributions } from './workloads.ts';

/** The result of one step. */
export type Rendering = {
  readonly tables: TableEdits;
  /** The desired state of each changed workload's interface; undefined when the workload is gone or another one owns its interface. */
  readonly devices: ReadonlyMap<WorkloadId, WorkloadDevice | undefined>;
};

const tables: readonly TableName[] = ['inet', 'arp'];
const directions: readonly Direction[] = ['ingress', 'egress'];

/** A workload as it is in the tables. `classes` has the content of its class by direction. */
type Rendered = { readonly workload: LocalWorkload; readonly contributions: Contributions; readonly classes: Readonly<Record<Direction, string>> };

/** The tables before the datastore is known: nothing passes from or to a workload interface. */
export function baseTables(options: RenderOptions): TableEdits {
  const edits = new EditList();
  for (const table of tables) {
    for (const set of baseSets[table]) edits.setSet(set, set === stampSet ? stampElements(options) : othersAtStart(set), table);
    for (const chain of baseChains(options)[table]) edits.setChain(chain, table);
  }
  return edits;
}

/** Translates one change after the other, and remembers what it needs of the earlier ones. Call `start()` once, before the first `render()`. */
export class Renderer {
  #options: RenderOptions;
  readonly #sets = new Sets();
  readonly #constants = new Constants();
  /** The effect of the rules of each policy and profile, by direction. */
  readonly #reaches: Readonly<Record<Direction, Map<PolicyId | ProfileId, Reach>>> = { ingress: new Map(), egress: new Map() };
  readonly #classes: Readonly<Record<Direction, Classes>> = {
    ingress: new Classes('ingress', this.#reaches.ingress),
    egress: new Classes('egress', this.#reaches.egress),
  };
  readonly #hostEndpoints = new HostEndpoints(this.#classes);
  readonly #ruleChains = new Map<string, readonly ConstantSet[]>();
  /** The chains of rules that log packets. */
  readonly #logging = new Set<string>();
  readonly #policies = new Map<PolicyId, Policy>();
  readonly #profiles = new Map<ProfileId, Profile>();
  readonly #workloads = new Map<WorkloadId, Rendered>();
  readonly #sharedChains = new SharedChains();
  readonly #others = new Others();
  readonly #qos = new QosChains();
  readonly #pools = new PoolPrefixes();
  readonly #exceptedHosts = new ExceptedHosts();
  /** The optional features that the chains in the table check. */
  #used: Used = unused;

  constructor(options: RenderOptions) {
    this.#options = options;
  }

  /** The edits that create the tables. */
  start(): TableEdits {
    return baseTables(this.#options);
  }

  /**
   * The edits for one change, in an order in which every reference resolves.
   * @param interfaces the host endpoint that governs an interface now, by the interface's name or `*`; only those that changed
   */
  render(change: DesiredChange, interfaces: ReadonlyMap<string, LocalHostEndpoint | undefined> = new Map()): Rendering {
    const edits = new EditList();
    const renamed = new Set<IpSetId>();
    for (const [id, set] of change.ipSets) if (set.change !== 'removed' && this.#sets.apply(id, set, edits)) renamed.add(id);
    if (renamed.size > 0) this.#renderUsersOf(renamed, edits);
    const turned = this.#noteReaches(change);
    for (const [id, policy] of change.policies) this.#renderPolicy(id, policy, edits);
    for (const [id, profile] of change.profiles) this.#renderProfile(id, profile, edits);
    for (const [cidr, isReserved] of change.reserved) this.#others.count(cidr, isReserved ? 1 : -1, edits);
    this.#pools.apply(change.pools, edits);
    this.#exceptedHosts.apply(change.nodes, edits);
    this.#exceptedHosts.fill(this.#pools.hasNat && this.#options.natOutgoing.exceptHosts === true, edits);
    const releaseFormer = this.#hostEndpoints.apply(interfaces, this.#options, edits);
    this.#renderWorkloads(new Map([...this.#withAnotherClass(turned), ...change.workloads]), edits);
    this.#renderUsed(edits);
    releaseFormer();
    for (const [id, set] of change.ipSets) if (set.change === 'removed') this.#sets.apply(id, set, edits);
    return { tables: edits, devices: new Map([...change.workloads].map(([id, workload]) => [id, workload && deviceOf(workload)])) };
  }

  /** Takes a changed configuration: every chain is written again, and the sets stay. */
  setOptions(options: RenderOptions): TableEdits {
    const edits = new EditList();
    const names = (of: RenderOptions, table: TableName): string[] => baseChains(of, this.#used)[table].map((chain) => chain.name);
    for (const table of tables) {
      const wanted = new Set(names(options, table));
      for (const name of names(this.#options, table)) if (!wanted.has(name)) edits.removeChain(name, table);
      for (const chain of baseChains(options, this.#used)[table]) edits.setChain(chain, table);
    }
    edits.setSet(stampSet, stampElements(options));
    this.#options = options;
    this.#exceptedHosts.fill(this.#pools.hasNat && options.natOutgoing.exceptHosts === true, edits);
    for (const [id, policy] of this.#policies) this.#renderPolicy(id, policy, edits);
    for (const [id, profile] of this.#profiles) this.#renderProfile(id, profile, edits);
    for (const direction of directions) this.#classes[direction].rewrite(options, edits);
    return edits;
  }

  /** Records the effect of changed rules. Returns the policies and profiles that have begun or ceased to allow everything, or to do nothing but allow. */
  #noteReaches({ policies, profiles }: DesiredChange): ReadonlySet<PolicyId | ProfileId> {
    const turned = new Set<PolicyId | ProfileId>();
    for (const [id, rules] of [...policies, ...profiles])
      for (const direction of directions) {
        const reaches = this.#reaches[direction];
        const [before, after] = [reaches.get(id), rules && reachOf(rules[direction])];
        if (after) reaches.set(id, after);
        else reaches.delete(id);
        if (before && before !== after) turned.add(id);
      }
    return turned;
  }

  /** The workloads whose class is another one now, because the effect of these policies and profiles has changed. */
  #withAnotherClass(turned: ReadonlySet<PolicyId | ProfileId>): Map<WorkloadId, LocalWorkload> {
    const concerned = new Map<WorkloadId, LocalWorkload>();
    if (turned.size === 0) return concerned;
    for (const [id, { workload, classes }] of this.#workloads)
      if (directions.some((direction) => this.#classes[direction].contentOf(workload.policy) !== classes[direction])) concerned.set(id, workload);
    return concerned;
  }

  /** Renders the users of sets that changed their name. This is rare: an address set got its first prefix, or lost its last. */
  #renderUsersOf(sets: ReadonlySet<IpSetId>, edits: EditList): void {
    const uses = ({ ingress, egress }: Pick<Policy, Direction>): boolean =>
      [...ingress, ...egress].some(({ source, destination }) =>
        [source.sets, source.notSets, destination.sets, destination.notSets].some((ids) => ids?.some((id) => sets.has(id))),
      );
    for (const [id, policy] of this.#policies) if (uses(policy)) this.#renderPolicy(id, policy, edits);
    for (const [id, profile] of this.#profiles) if (uses(profile)) this.#renderProfile(id, profile, edits);
  }

  #renderPolicy(id: PolicyId, policy: Policy | undefined, edits: EditList): void {
    if (policy) this.#policies.set(id, policy);
    else this.#policies.delete(id);
    for (const direction of directions) this.#writeRules(policyChain(direction, id), policy?.[direction], this.#logPrefix(policy?.tier ?? '', id), edits);
  }

  #renderProfile(id: ProfileId, profile: Profile | undefined, edits: EditList): void {
    if (profile) this.#profiles.set(id, profile);
    else this.#profiles.delete(id);
    for (const direction of directions) this.#writeRules(profileChain(direction, id), profile?.[direction], this.#logPrefix('', `Profile//${id}`), edits);
  }

  #writeRules(name: string, rules: Policy['ingress'] | undefined, logPrefix: string, edits: EditList): void {
    const had = this.#ruleChains.get(name) ?? [];
    const rendered = rules && renderRules(rules, this.#sets, this.#options, logPrefix);
    if (rendered) {
      this.#constants.acquire(rendered.constants, edits);
      edits.setChain({ name, rules: rendered.rules });
      this.#ruleChains.set(name, rendered.constants);
    } else {
      edits.removeChain(name);
      this.#ruleChains.delete(name);
    }
    this.#constants.release(had, edits);
    if (rules?.some(({ action }) => action === 'log')) this.#logging.add(name);
    else this.#logging.delete(name);
  }

  #logPrefix(tier: string, id: string): string {
    const [kind = '', namespace = '', name = ''] = id.split('/');
    const path = namespace ? `${namespace}/${name}` : name;
    const values: Readonly<Record<string, string>> = { t: tier, k: shortKinds[kind] ?? kind, n: name, p: path };
    const text = this.#options.logPrefix.replaceAll(/%([tknp])/g, (_, letter: string) => values[letter]!);
    // The kernel keeps 127 characters. Control characters would break the lines of its log.
    return `${text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 120)}: `;
  }

  #renderWorkloads(changes: DesiredChange['workloads'], edits: EditList): void {
    const contributions: { before: Contributions; after: Contributions }[] = [];
    const released: Rendered[] = [];
    for (const [id, next] of changes) {
      const previous = this.#workloads.get(id);
      const active = next && !next.shadowedBy ? next : undefined;
      let after = noContributions;
      if (active) {
        const classes = {
          ingress: this.#classes.ingress.acquire(active.policy, this.#options, edits),
          egress: this.#classes.egress.acquire(active.policy, this.#options, edits),
        };
        after = contributionsOf(active, { ingress: classes.ingress.number, egress: classes.egress.number });
        this.#sharedChains.acquire(sharedChainsOf(active), edits);
        if (active.qosControls) this.#qos.acquire(active, edits);
        this.#countAddresses(active, 1, edits);
        this.#workloads.set(id, {
          workload: active,
          contributions: after,
          classes: { ingress: classes.ingress.content, egress: classes.egress.content },
        });
      } else this.#workloads.delete(id);
      if (previous) {
        released.push(previous);
        this.#countAddresses(previous.workload, -1, edits);
      }
      contributions.push({ before: previous?.contributions ?? noContributions, after });
    }
    this.#others.emit(edits);
    emitContributions(contributions, edits);
    // Old classes are released after the new ones were acquired, so that a class which only gets other members is not removed and created again.
    for (const { workload, classes } of released) {
      for (const direction of directions) this.#classes[direction].release(classes[direction], edits);
      this.#sharedChains.release(sharedChainsOf(workload), edits);
      if (workload.qosControls) this.#qos.release(workload, edits);
    }
  }

  /** Writes the chains again that check an optional feature whose use has begun or ended. */
  #renderUsed(edits: EditList): void {
    const { qos } = this.#used;
    const used = { qos: this.#qos.use, natOutgoing: this.#pools.hasNat, host: this.#hostEndpoints.use, log: this.#logging.size > 0 };
    const before = this.#used;
    this.#used = used;
    if (!sameContent(used.host, before.host)) this.#renderHostChains(before, edits);
    if (used.log !== before.log) for (const chain of toHost(this.#options, used.log)) edits.setChain(chain);
    if (used.natOutgoing !== before.natOutgoing) for (const chain of natChains(this.#options, used.natOutgoing)) edits.setChain(chain);
    if (used.qos.size !== qos.size || [...used.qos].some((kind) => !qos.has(kind))) for (const chain of policed(this.#options, used.qos)) edits.setChain(chain);
  }

  #renderHostChains(before: Used, edits: EditList): void {
    const chains = hostEndpointChains(this.#options, this.#used.host);
    for (const { name } of hostEndpointChains(this.#options, before.host)) if (!chains.some((chain) => chain.name === name)) edits.removeChain(name);
    for (const chain of chains) edits.setChain(chain);
  }

  /** Counts a workload's addresses, and the gateways that the host answers for on its interface. */
  #countAddresses({ routed, ipv4Gateway, ipv6Gateway, allowSpoofedSourcePrefixes }: LocalWorkload, by: 1 | -1, edits: EditList): void {
    for (const cidr of routed) this.#others.count(cidr, by, edits);
    for (const gateway of [ipv4Gateway, ipv6Gateway]) if (gateway) this.#others.count(hostCidr(gateway), by, edits);
    if (allowSpoofedSourcePrefixes.length > 0) this.#others.use(by);
  }
}

const shortKinds: Readonly<Record<string, string>> = { NetworkPolicy: 'np', GlobalNetworkPolicy: 'gnp', Profile: 'pro' };
