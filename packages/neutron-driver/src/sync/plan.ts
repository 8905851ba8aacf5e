// Decides what to write: compares etcd's values with Neutron's rows, and makes transactions that compare what was read. Pure.
import { type Fields, isFields, openstackNamespace, resourceKey, resourcePrefix, subnetKey } from '@calico-openstack/datamodel';
import type { Compare, KeyValue, Operation } from '@calico-openstack/etcd';
import type { AddressRules } from '../addressing/rules.ts';
import { type LeftOut, screen } from '../addressing/screen.ts';
import type { ProjectNames } from '../projects.ts';
import { noRowsQuestion, type PortRow, type ProjectRow, type Rows, type RowsQuestion } from '../rows.ts';
import { networkSetContent, networkSetName } from '../translate/address-group.ts';
import {
  type EndpointFacts,
  endpointContent,
  endpointName,
  endpointWishes,
  leadingTo,
  migrationContent,
  migrationOf,
  projectNameLabel,
  projectParentLabel,
  type Slot,
} from '../translate/endpoint.ts';
import { policyContent, policyName } from '../translate/policy.ts';
import type { QosOptions } from '../translate/qos.ts';
import { subnetContent } from '../translate/subnet.ts';
import { type Change, mergeSlots, pairHolders } from './change.ts';
import { type Birth, encodeContent, holds, type ResourceContent, storedFields } from './content.ts';

/** The etcd keys that the driver writes in one region. */
export type Keys = ReturnType<typeof keysOf>;
/** The keys of a region. */
export function keysOf(region: string | undefined) {
  const namespace = openstackNamespace(region);
  return {
    region,
    namespace,
    endpoints: resourcePrefix('workloadendpoints', namespace),
    endpoint: (slot: Slot, portId: string): string => resourceKey({ plural: 'workloadendpoints', namespace, name: endpointName(slot, portId) }),
    migration: (slot: Slot, portId: string): string => resourceKey({ plural: 'livemigrations', namespace, name: endpointName(slot, portId) }),
    policy: (groupId: string): string => resourceKey({ plural: 'networkpolicies', namespace, name: policyName(groupId) }),
    networkSet: (groupId: string): string => resourceKey({ plural: 'networksets', namespace, name: networkSetName(groupId) }),
    subnet: (subnetId: string): string => subnetKey(region, subnetId),
  };
}
/** The key of FelixConfiguration `default`. */
export const felixConfigurationKey = resourceKey({ plural: 'felixconfigurations', name: 'default' });

/** The driver's settings. */
export type Settings = { readonly keys: Keys; readonly qos: QosOptions };

/** The values that were read from etcd. A key with the value undefined was read and does not exist. */
export type Found = Pick<ReadonlyMap<string, KeyValue | undefined>, 'has' | 'get'>;

/** A warning about an object in Neutron. */
export type Warning = { readonly object: string; readonly what: string };

/** Operations that belong together: all are written in one transaction, or none. */
export type Unit = {
  readonly change: Change;
  readonly compares: readonly Compare[];
  readonly operations: readonly Operation[];
  /** Further changes that have to be checked once this one is written. */
  readonly followUps: readonly Change[];
};

/** The result of `plan`. */
export type Plan = {
  readonly units: readonly Unit[];
  /** What has to be read first. Then etcd and rows are read anew and the plan is made again. */
  readonly missing: { readonly keys: readonly string[]; readonly question: RowsQuestion };
  readonly warnings: readonly Warning[];
  /** Addresses that were removed from the rows because nobody may have them. */
  readonly leftOut: readonly LeftOut[];
  /** Ports whose project's name is not known, because Keystone did not answer. An operator's policy may depend on the name. */
  readonly unnamed: ReadonlySet<string>;
};

/** The keys that these changes need in any case, as far as they are known without rows. */
export function keysToRead(changes: readonly Change[], { keys }: Pick<Settings, 'keys'>): readonly string[] {
  return changes.flatMap((change): readonly string[] => {
    switch (change.kind) {
      case 'port':
        return [felixConfigurationKey, ...change.slots.flatMap((slot) => [keys.endpoint(slot, change.id), keys.migration(slot, change.id)])];
      case 'subnet':
        return [keys.subnet(change.id)];
      case 'security_group':
        return [keys.policy(change.id)];
      case 'address_group':
        return [keys.networkSet(change.id)];
      case 'ports_of':
        return [];
      default:
        return change satisfies never;
    }
  });
}

/** The rows that these changes need. */
export function questionFor(changes: readonly Change[]): RowsQuestion {
  const ids = (kind: Change['kind']): readonly string[] => changes.filter((change) => change.kind === kind).map((change) => change.id);
  return { ...noRowsQuestion, ports: ids('port'), subnets: ids('subnet'), security_groups: ids('security_group'), address_groups: ids('address_group') };
}

/** The projects whose names the endpoints of these rows contain. */
export const projectsOf = (rows: Rows): readonly string[] => [
  ...new Set(rows.ports.filter((port) => endpointWishes(port).length > 0 && port.project_id !== '').map((port) => port.project_id)),
];

/** The rows, projects and values of etcd that were read. */
export type Knowledge = {
  readonly found: Found;
  readonly rows: Rows;
  readonly projects: ProjectNames;
  readonly settings: Settings;
  readonly addresses: AddressRules;
  readonly born: () => Birth;
};

/** Plans each change by itself, after removing addresses that nobody may have. A port's groups, and what their rules refer to, are written before the port. */
export function plan(changes: readonly Change[], knowledge: Knowledge): Plan {
  const { rows, speaksFor, leftOut } = screen(knowledge.rows, knowledge.addresses);
  const planner = new Planner({ ...knowledge, rows }, speaksFor);
  const units = changes.map((change) => planner.unit(change)).filter((unit) => unit.operations.length > 0);
  const asked = new Set(changes.map((change) => change.id));
  const mine = leftOut.filter(({ id }) => asked.has(id)); // the subnets of a port are in the rows too; their warnings come when they are checked themselves
  const warnings = mine.map(({ kind, id, what }) => ({ object: `${kind} ${id}`, what: `${what}; it is left out of etcd` }));
  return { units, missing: planner.missing(), warnings: [...warnings, ...planner.warnings], leftOut: mine, unnamed: planner.unnamed };
}

class Planner {
  readonly warnings: Warning[] = [];
  readonly unnamed = new Set<string>();
  private readonly missingKeys = new Set<string>();
  private readonly missingGroups = new Set<string>();
  private readonly missingAddressGroups = new Set<string>();
  private readonly knowledge: Knowledge;
  private readonly speaksFor: ReadonlyMap<string, readonly string[]>;
  private readonly ports: ReadonlyMap<string, PortRow>;
  private readonly gateways: ReadonlyMap<string, string>;
  private readonly groups: ReadonlyMap<string, Rows['security_groups'][number]>;
  private readonly groupNames: ReadonlyMap<string, string>;
  private readonly spoofingAllowed: boolean;
  private readonly addressGroups: ReadonlyMap<string, Rows['address_groups'][number]>;

  constructor(knowledge: Knowledge, speaksFor: ReadonlyMap<string, readonly string[]>) {
    const { rows } = knowledge;
    this.knowledge = knowledge;
    this.speaksFor = speaksFor;
    this.spoofingAllowed = spoofingAllowed(knowledge.found.get(felixConfigurationKey));
    this.ports = new Map(rows.ports.map((port) => [port.id, port]));
    this.gateways = new Map(rows.subnets.flatMap((subnet) => (subnet.gateway_ip === undefined ? [] : [[subnet.id, subnet.gateway_ip] as const])));
    this.groups = new Map(rows.security_groups.map((group) => [group.id, group]));
    this.groupNames = new Map(rows.security_groups.map((group) => [group.id, group.name]));
    this.addressGroups = new Map(rows.address_groups.map((group) => [group.id, group]));
  }

  missing(): Plan['missing'] {
    return {
      keys: [...this.missingKeys],
      question: { ...noRowsQuestion, security_groups: [...this.missingGroups], address_groups: [...this.missingAddressGroups] },
    };
  }

  unit(change: Change): Unit {
    const writer = new Writer(this.knowledge, this.missingKeys);
    switch (change.kind) {
      case 'port':
        this.port(change, writer);
        break;
      case 'subnet':
        this.subnet(change.id, writer);
        break;
      case 'security_group':
        this.securityGroup(change.id, writer);
        break;
      case 'address_group':
        this.addressGroup(change.id, writer);
        break;
      case 'ports_of':
        break;
      default:
        change satisfies never;
    }
    return { change, compares: writer.compares, operations: writer.operations, followUps: this.followUps(change, writer) };
  }

  /** The changes of other ports' floating IPs. A port that gets its endpoint takes its floating IPs back from ports that have its address as a pair; one that loses its endpoint leaves them to those. */
  private followUps(change: Change, writer: Writer): readonly Change[] {
    if (change.kind !== 'port' || !this.knowledge.rows.floating_ips.some((ip) => ip.fixed_port_id === change.id)) return [];
    const prefix = this.knowledge.settings.keys.endpoints;
    const comesOrGoes = writer.operations.some((operation) =>
      'put' in operation ? operation.put.startsWith(prefix) && !writer.found(operation.put) : 'delete' in operation && operation.delete.startsWith(prefix),
    );
    return comesOrGoes ? [pairHolders(change.id)] : [];
  }

  private port(change: Change & { kind: 'port' }, writer: Writer): void {
    const { settings } = this.knowledge;
    const { keys } = settings;
    const row = this.ports.get(change.id);
    const wishes = endpointWishes(row);
    const move = migrationOf(row);
    const slots = mergeSlots(
      change.slots,
      wishes.map((wish) => wish.slot),
    );
    // The LiveMigration is written before the endpoint at the destination, and deleted after it.
    for (const slot of slots) {
      const key = keys.migration(slot, change.id);
      if (move && slot.host === move.to.host && slot.device === move.to.device) writer.resource(key, migrationContent(change.id, move, keys.namespace));
    }
    for (const slot of slots) {
      const wish = wishes.find((candidate) => candidate.slot.host === slot.host && candidate.slot.device === slot.device);
      const key = keys.endpoint(slot, change.id);
      if (!wish || !row) writer.absent(key);
      else if (!wish.onlyIfPresent || writer.found(key)) {
        const before = writer.operations.length;
        writer.resource(key, (stored) => this.endpoint(row, slot, stored));
        if (writer.operations.length > before && row.port_security_enabled) for (const group of row.security_groups) this.groupBefore(group, writer, before);
      }
    }
    for (const slot of slots) {
      if (!(move && slot.host === move.to.host && slot.device === move.to.device)) writer.absent(keys.migration(slot, change.id));
    }
  }

  private endpoint(port: PortRow, slot: Slot, stored: Fields | undefined): ResourceContent {
    const { rows, projects, settings } = this.knowledge;
    const network = rows.networks.find((candidate) => candidate.id === port.network_id);
    const qosPolicy = port.qos_policy_id ?? network?.qos_policy_id;
    const project = projects.get(port.project_id) ?? projectFrom(stored, port.project_id);
    if (!project && port.project_id !== '' && !projects.has(port.project_id)) this.unnamed.add(port.id);
    const facts: EndpointFacts = {
      namespace: settings.keys.namespace,
      network,
      gateways: this.gateways,
      groupNames: this.groupNames,
      floatingIps: leadingTo(port, rows),
      qosRules: rows.qos_policies.find((policy) => policy.id === qosPolicy)?.rules ?? [],
      project,
      dnsDomain: rows.dns_domain,
      speaksFor: this.speaksFor.get(port.id) ?? [],
      spoofingAllowed: this.spoofingAllowed,
      qos: settings.qos,
    };
    return endpointContent(port, slot, facts, (what) => this.warnings.push({ object: `port ${port.id}`, what }));
  }

  /** Makes sure that the group's policy is in etcd when the endpoint is, without rewriting an existing one. */
  private groupBefore(groupId: string, writer: Writer, position: number): void {
    const key = this.knowledge.settings.keys.policy(groupId);
    if (!this.knowledge.found.has(key) || writer.found(key)) {
      writer.requireExisting(key); // assumed to exist; the transaction checks it
      return;
    }
    const group = this.groups.get(groupId);
    if (!group) return; // the group's binding to the port is deleted as well
    if (!group.rules) this.missingGroups.add(groupId);
    else this.securityGroup(groupId, writer, position);
  }

  private securityGroup(groupId: string, writer: Writer, position?: number): void {
    const { keys } = this.knowledge.settings;
    const group = this.groups.get(groupId);
    const key = keys.policy(groupId);
    if (!group) {
      writer.absent(key);
      return;
    }
    const content = policyContent(group, keys.namespace, (ruleId, what) =>
      this.warnings.push({ object: `security group ${groupId}`, what: `rule ${ruleId} is left out: ${what}` }),
    );
    const wrote = writer.resource(key, content, position);
    if (!wrote) return;
    const addressGroups = new Set((group.rules ?? []).map((rule) => rule.remote_address_group_id).filter((id) => id !== undefined));
    for (const id of addressGroups) this.addressGroupBefore(id, writer, position ?? 0);
  }

  private addressGroupBefore(groupId: string, writer: Writer, position: number): void {
    const key = this.knowledge.settings.keys.networkSet(groupId);
    if (!this.knowledge.found.has(key) || writer.found(key)) writer.requireExisting(key);
    else if (!this.addressGroups.has(groupId)) this.missingAddressGroups.add(groupId);
    else this.addressGroup(groupId, writer, position);
  }

  private addressGroup(groupId: string, writer: Writer, position?: number): void {
    const { keys } = this.knowledge.settings;
    const group = this.addressGroups.get(groupId);
    if (group) writer.resource(keys.networkSet(groupId), networkSetContent(group, keys.namespace), position);
    else writer.absent(keys.networkSet(groupId));
  }

  private subnet(subnetId: string, writer: Writer): void {
    const { rows, settings } = this.knowledge;
    const key = settings.keys.subnet(subnetId);
    const row = rows.subnets.find((subnet) => subnet.id === subnetId);
    const content = row && subnetContent(row);
    if (content && !content.ok) this.warnings.push({ object: `subnet ${subnetId}`, what: content.reason });
    if (content?.ok && content.value !== undefined) writer.text(key, content.value);
    else writer.absent(key);
  }
}

/** Collects the operations of one unit, each with a comparison of what was read. */
class Writer {
  readonly compares: Compare[] = [];
  readonly operations: Operation[] = [];
  private readonly knowledge: Knowledge;
  private readonly missingKeys: Set<string>;
  private readonly touched = new Set<string>();

  constructor(knowledge: Knowledge, missingKeys: Set<string>) {
    this.knowledge = knowledge;
    this.missingKeys = missingKeys;
  }

  /** The value that was read. A key that was not read is recorded as missing, and counts as absent for now. */
  found(key: string): KeyValue | undefined {
    if (!this.knowledge.found.has(key)) this.missingKeys.add(key);
    return this.knowledge.found.get(key);
  }

  /** Writes the content if it differs, and returns whether it does. */
  resource(key: string, content: ResourceContent | ((stored: Fields | undefined) => ResourceContent), position = this.operations.length): boolean {
    const stored = storedFields(this.found(key)?.value);
    const wanted = typeof content === 'function' ? content(stored) : content;
    if (holds(stored, wanted)) return false;
    this.write(key, { put: key, value: encodeContent(stored, wanted, this.knowledge.born()) }, position);
    return true;
  }

  text(key: string, value: string): void {
    const stored = this.found(key)?.value;
    if (!stored || new TextDecoder().decode(stored) !== value) this.write(key, { put: key, value });
  }

  absent(key: string): void {
    if (this.found(key)) this.write(key, { delete: key });
  }

  requireExisting(key: string): void {
    if (this.touched.has(key)) return;
    this.touched.add(key);
    this.compares.push({ key, exists: true });
  }

  private write(key: string, operation: Operation, position = this.operations.length): void {
    if (this.touched.has(key)) return;
    this.touched.add(key);
    this.compares.push({ key, modRevision: this.knowledge.found.get(key)?.modRevision ?? 0 });
    this.operations.splice(position, 0, operation);
  }
}

/** Whether Felix accepts endpoints that may use other source addresses. */
function spoofingAllowed(felixConfiguration: KeyValue | undefined): boolean {
  const spec = storedFields(felixConfiguration?.value)?.['spec'];
  return isFields(spec) && spec['workloadSourceSpoofing'] === 'Any';
}

/** The project's name in the existing endpoint, which is kept while Keystone does not answer. */
function projectFrom(stored: Fields | undefined, projectId: string): ProjectRow | undefined {
  const metadata = stored?.['metadata'];
  const labels = isFields(metadata) ? metadata['labels'] : undefined;
  if (!isFields(labels) || labels['projectcalico.org/openstack-project-id'] !== projectId) return undefined;
  const [name, parent] = [labels[projectNameLabel], labels[projectParentLabel]];
  return typeof name === 'string' && typeof parent === 'string' ? { id: projectId, name, parent_id: parent } : undefined;
}
