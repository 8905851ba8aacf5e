// Derives from an announcement which objects have to be checked, or why it is refused.
import { sameContent } from '@calico-openstack/datamodel';
import { z } from 'zod';
import { parseRule } from '../rows.ts';
import { migrationTarget, ownsEndpoint, type Slot } from '../translate/endpoint.ts';
import { calicoRule, groupRefusal } from '../translate/policy.ts';
import { type Change, mergeSlots, pairHolders } from './change.ts';

const row = z.record(z.string(), z.unknown()).nullable();
const schema = z.object({
  /** Neutron's name of the kind of resource. */
  kind: z.string(),
  id: z.string().nullable(),
  /** The object's fields before and after the change, as far as Neutron's event has them; null when it did not or does not exist. */
  original: row,
  current: row,
  /** After a commit: the marks of the announcements that this one completes. Before a commit: its own mark. */
  marks: z.array(z.string()),
  /** Whether Neutron is undoing something, which must not be refused. */
  rollback: z.boolean(),
  /** Whether an administrator made the change. */
  admin: z.boolean().default(false),
  /** After a commit: the port's rows, read after the daemon's answer to an announcement before it. */
  rows: z.unknown().optional(),
});
/** An announcement of Neutron's side (neutron/README.md). */
export type Announcement = z.infer<typeof schema>;
/** Checks an announcement. */
export const parseAnnouncement = (params: unknown): Announcement => schema.parse(params);

/** What follows from an announcement. */
export type Derived = {
  readonly changes: readonly Change[];
  readonly refusal?: string;
  /** Whether this is the first half of a binding. The second follows in a moment, and one check serves both. */
  readonly halfway?: boolean;
};
const nothing: Derived = { changes: [] };

type Row = Readonly<Record<string, unknown>>;
const field = (fields: Row | null, name: string): string => (typeof fields?.[name] === 'string' ? (fields[name] as string) : '');
const changed = (original: Row | null, current: Row | null, name: string): boolean =>
  original !== null && current !== null && !sameContent(original[name] ?? null, current[name] ?? null);

/** Derives the changes. Pure. Objects of unknown kinds are ignored. */
export function derive(announcement: Announcement, phase: 'before' | 'after'): Derived {
  const { kind, id, original, current } = announcement;
  switch (kind) {
    case 'port':
      return id === null ? nothing : portChanges(announcement, id, phase);
    case 'subnet':
      return id === null ? nothing : subnetChanges(id, original, current);
    case 'network':
      return id !== null && ['name', 'qos_policy_id'].some((name) => changed(original, current, name))
        ? { changes: [{ kind: 'ports_of', of: 'network', id }] }
        : nothing;
    case 'security_group':
      return id === null ? nothing : groupChanges(id, original, current);
    case 'security_group_rule':
      return ruleChanges(original, current);
    case 'default_security_group_rule':
      return { changes: [], ...ruleRefusal({ ...current, id: 'template', security_group_id: 'template' }) };
    case 'address_group':
      return id === null ? nothing : { changes: [{ kind: 'address_group', id }] };
    case 'floatingip':
      return { changes: floatingIpPorts(original, current).flatMap((port): Change[] => [{ kind: 'port', id: port, slots: [] }, pairHolders(port)]) };
    case 'qos_policy':
      return id === null ? nothing : { changes: [{ kind: 'ports_of', of: 'qos_policy', id }] };
    default:
      return nothing;
  }
}

/** Fields that do not affect the endpoint. */
const bookkeeping = new Set([
  'status',
  'updated_at',
  'revision_number',
  'created_at',
  'standard_attr_id',
  'name',
  'description',
  'tags',
  'network',
  'resource_request',
]);

function portChanges(announcement: Announcement, id: string, phase: 'before' | 'after'): Derived {
  const { original, current } = announcement;
  const slots = mergeSlots(portSlots(original), portSlots(current));
  if (slots.length === 0) return nothing; // not a VM's port, neither before nor after
  if (original && current) {
    const names = new Set([...Object.keys(original), ...Object.keys(current)]);
    if ([...names].every((name) => bookkeeping.has(name) || !changed(original, current, name))) return nothing;
  }
  // The port is bound next, which is announced separately. But only before this first half can the whole port still be refused.
  const halfway = phase === 'after' && bindingHalf(announcement) === 'first';
  // A new port that is not bound yet has no endpoint.
  if (halfway && !original) return nothing;
  return { changes: [{ kind: 'port', id, slots }], ...(halfway && { halfway }) };
}

/** Which half of a port's binding this is: Neutron first stores the host, and then, in a transaction of its own, the result of binding the port there. */
export function bindingHalf({ kind, original, current }: Announcement): 'first' | 'second' | undefined {
  const host = field(current, 'binding:host_id');
  if (kind !== 'port' || host === '') return undefined;
  if (isUnbound(current)) return 'first';
  return isUnbound(original) && field(original, 'binding:host_id') === host ? 'second' : undefined;
}

const isUnbound = (port: Row | null): boolean => field(port, 'binding:vif_type') === 'unbound';

/** The places where a port with these fields may have endpoints. */
function portSlots(port: Row | null): readonly Slot[] {
  const [host, device] = [field(port, 'binding:host_id'), field(port, 'device_id')];
  if (!port || device === '' || !ownsEndpoint(field(port, 'device_owner'))) return [];
  const profile = port['binding:profile'];
  const target = migrationTarget(host, typeof profile === 'object' && profile !== null ? (profile as Row) : undefined);
  return [host, target].filter((name) => name !== undefined && name !== '').map((name) => ({ host: name as string, device }));
}

function subnetChanges(id: string, original: Row | null, current: Row | null): Derived {
  const subnet: Change = { kind: 'subnet', id };
  const network = field(current ?? original, 'network_id');
  const pairs: Change[] = network === '' ? [] : [{ kind: 'ports_of', of: 'network_pairs', id: network }];
  if (changed(original, current, 'gateway_ip')) return { changes: [subnet, { kind: 'ports_of', of: 'subnet', id }, ...pairs] };
  if (original && current && !changed(original, current, 'cidr')) return { changes: [subnet] };
  // When a subnet with automatic addresses is deleted, its addresses are removed from ports without an announcement of the ports.
  const automatic = ['slaac', 'dhcpv6-stateless'].includes(field(original, 'ipv6_address_mode'));
  return { changes: original && !current && automatic && network !== '' ? [subnet, { kind: 'ports_of', of: 'network', id: network }] : [subnet, ...pairs] };
}

function groupChanges(id: string, original: Row | null, current: Row | null): Derived {
  const refusal = current ? groupRefusal(current) : undefined;
  if (refusal !== undefined && (!original || changed(original, current, 'stateful')))
    return { changes: [], refusal: `security group ${field(current, 'name')}: ${refusal}` };
  const group: Change = { kind: 'security_group', id };
  return { changes: changed(original, current, 'name') ? [group, { kind: 'ports_of', of: 'security_group', id }] : [group] };
}

function ruleChanges(original: Row | null, current: Row | null): Derived {
  const group = field(current ?? original, 'security_group_id');
  if (group === '') return nothing;
  const refused = current ? ruleRefusal(current) : {};
  return { changes: 'refusal' in refused ? [] : [{ kind: 'security_group', id: group }], ...refused };
}

function ruleRefusal(fields: Row): Pick<Derived, 'refusal'> {
  const rule = parseRule(fields);
  const said = rule ? calicoRule(rule) : { reason: 'it lacks fields that every rule must have' };
  return 'reason' in said ? { refusal: `a security group rule that Calico cannot enforce is refused: ${said.reason}` } : {};
}

/** The ports of a floating IP. An event's dictionary has port_id, the database's object fixed_port_id. */
export function floatingIpPorts(original: Row | null, current: Row | null): readonly string[] {
  const ports = [original, current].flatMap((fields) => [field(fields, 'port_id'), field(fields, 'fixed_port_id')]);
  return [...new Set(ports.filter((port) => port !== ''))];
}
