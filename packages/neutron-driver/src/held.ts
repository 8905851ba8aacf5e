// Reads what etcd holds of Neutron's objects, for resync to compare.
import { type NamespacedPlural, parseWorkloadEndpointName, resourcePrefix, subnetPrefix } from '@calico-openstack/datamodel';
import type { Etcd, KeyValue } from '@calico-openstack/etcd';
import type { ComparedKind } from './resync-scope.ts';
import type { Change } from './sync/change.ts';
import { type Found, felixConfigurationKey, keysToRead, type Settings } from './sync/plan.ts';
import { readKeys } from './sync/sync.ts';
import { networkSetName } from './translate/address-group.ts';
import type { Slot } from './translate/endpoint.ts';
import { policyName } from './translate/policy.ts';

/** What etcd holds of a kind. */
export type Held = {
  readonly items: number;
  readonly found: Found;
  change(id: string): Change;
  seen(id: string): void;
  /** The objects that etcd has and that were in none of Neutron's pages. */
  unseen(): readonly Change[];
  /** Deletes what nobody can read, or counts it. Returns how much that was. */
  removeUnreadable(dryRun: boolean): Promise<number>;
  /** The revisions of an object's keys, as one text that is another one after each change of them. */
  revisions(id: string): string;
  /** Reads the values of these objects, where they were left out. */
  readValues(ids: readonly string[]): Promise<void>;
};

/** Reads what etcd holds of a kind. `revisionsOnly`: without the values of ports' keys. Only names that this driver gives are considered, because operators may have policies and sets of their own. */
export async function readHeld(kind: ComparedKind, etcd: Etcd, settings: Settings, revisionsOnly = false): Promise<Held> {
  const { keys } = settings;
  const prefixOf = (plural: NamespacedPlural): string => resourcePrefix(plural, keys.namespace);
  const policies = `${prefixOf('networkpolicies')}${policyName('')}`;
  const sets = `${prefixOf('networksets')}${networkSetName('')}`;
  switch (kind) {
    case 'subnets':
      return heldById('subnet', etcd, subnetPrefix(keys.region));
    case 'address_groups':
      return heldById('address_group', etcd, sets);
    case 'security_groups':
      return heldById('security_group', etcd, policies, sets);
    case 'ports':
      return heldPorts(etcd, settings, revisionsOnly, [prefixOf('workloadendpoints'), prefixOf('livemigrations')], policies);
    default:
      return kind satisfies never;
  }
}

async function readPrefixes(etcd: Etcd, prefixes: readonly string[], keysOnly = false): Promise<Map<string, KeyValue>> {
  const held = new Map<string, KeyValue>();
  for (const prefix of prefixes) for (const entry of (await etcd.range(prefix, { keysOnly })).found) held.set(entry.key, entry);
  return held;
}

/** The values of prefixes that were read completely, so that a key that is not among them is known to be absent. */
const wholly = (held: ReadonlyMap<string, KeyValue>): Found => ({ has: () => true, get: (key) => held.get(key) });

/** Reads the objects whose keys are `start` and an id. `others` are prefixes of further keys that their values are compared with. */
async function heldById(kind: 'subnet' | 'address_group' | 'security_group', etcd: Etcd, start: string, ...others: readonly string[]): Promise<Held> {
  const held = await readPrefixes(etcd, [start, ...others]);
  const left = new Set([...held.keys()].flatMap((key) => (key.startsWith(start) ? [key.slice(start.length)] : [])));
  const changeOf = (id: string): Change => ({ kind, id });
  return {
    items: left.size,
    found: wholly(held),
    change: changeOf,
    seen: (id) => left.delete(id),
    unseen: () => [...left].map(changeOf),
    removeUnreadable: async () => 0,
    revisions: (id) => id,
    readValues: async () => {},
  };
}

async function heldPorts(etcd: Etcd, settings: Settings, revisionsOnly: boolean, prefixes: readonly string[], policies: string): Promise<Held> {
  const held = await readPrefixes(etcd, prefixes, revisionsOnly);
  const slots = new Map<string, Slot[]>();
  const revisions = new Map<string, string>();
  const unreadable: KeyValue[] = [];
  for (const entry of held.values()) {
    const name = entry.key.slice(prefixes.find((prefix) => entry.key.startsWith(prefix))!.length);
    const parts = parseWorkloadEndpointName(name);
    if (parts && parts.orchestrator !== 'openstack') continue; // an endpoint of another orchestrator
    if (parts) {
      slots.set(parts.endpoint, [...(slots.get(parts.endpoint) ?? []), { host: parts.host, device: parts.workload }]);
      revisions.set(parts.endpoint, `${revisions.get(parts.endpoint) ?? ''} ${entry.modRevision}`);
    } else if (name.includes('-openstack-')) unreadable.push(entry);
  }
  const configuration = (await etcd.get(felixConfigurationKey)).found;
  const known = new Map([...held, ...(await readPrefixes(etcd, [policies], true))]);
  if (configuration) known.set(felixConfigurationKey, configuration);
  const change = (id: string): Change => ({ kind: 'port', id, slots: slots.get(id) ?? [] });
  const left = new Set(slots.keys());
  return {
    items: held.size,
    found: wholly(known),
    change,
    seen: (id) => left.delete(id),
    unseen: () => [...left].map(change),
    revisions: (id) => revisions.get(id) ?? '',
    readValues: async (ids) => {
      if (!revisionsOnly) return;
      for (const [key, entry] of await readKeys(etcd, keysToRead(ids.map(change), settings))) {
        if (entry) known.set(key, entry);
        else known.delete(key);
      }
    },
    /** Deletes endpoints whose names cannot be parsed. Upstream's driver writes such names for ports without a device. */
    removeUnreadable: async (dryRun) => {
      let removed = 0;
      for (const { key, modRevision } of unreadable) {
        if (dryRun || (await etcd.transact([{ key, modRevision }], [{ delete: key }])).succeeded) removed += 1;
      }
      return removed;
    },
  };
}
