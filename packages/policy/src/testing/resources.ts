// Builds resources as their writers put them into the datastore: keys, and values as text.
import { type Plural, resourceRoot, workloadEndpointName } from '@calico-openstack/datamodel';
import { type Calculation, createPolicyCalculation } from '../calculation.ts';
import { DesiredState } from './desired-state.ts';

export const thisHost = 'host-1';
export const namespace = 'openstack';
export const security = (group: string): string => `sg.projectcalico.org/openstack-${group}`;

/** A key with its value; undefined deletes the key. */
export type Entry = readonly [key: string, value: string | undefined];

const utf8 = new TextEncoder();
export const bytes = (text: string): Uint8Array => utf8.encode(text);

export function resource(
  plural: Plural,
  name: string,
  content: { namespace?: string; created?: string | undefined; labels?: object; annotations?: object; spec?: object },
): Entry {
  const { namespace: within, created, labels, annotations, spec = {} } = content;
  const metadata = {
    name,
    ...(within && { namespace: within }),
    ...(created && { creationTimestamp: created }),
    ...(labels && { labels }),
    ...(annotations && { annotations }),
  };
  return [
    `${resourceRoot}${plural}/${within === undefined ? '' : `${within}/`}${name}`,
    JSON.stringify({ kind: plural, apiVersion: 'projectcalico.org/v3', metadata, spec }),
  ];
}

export type EndpointContent = {
  readonly host?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly groups?: readonly string[];
  readonly annotations?: object;
  /** The resource's creationTimestamp. */
  readonly created?: string;
  readonly [field: string]: unknown;
};

/** A bound port. Its number determines its id, its device and, by default, its address. */
export function port(
  number: number,
  { host = thisHost, namespace: within = namespace, labels, groups = [], annotations, created, ...spec }: EndpointContent = {},
): Entry {
  const id = String(number).padStart(4, '0');
  return resource('workloadendpoints', workloadEndpointName({ host, orchestrator: 'openstack', workload: `vm-${id}`, endpoint: `port-${id}` }), {
    namespace: within,
    created,
    ...(annotations !== undefined && { annotations }),
    labels: {
      'projectcalico.org/namespace': within,
      'projectcalico.org/orchestrator': 'openstack',
      ...Object.fromEntries(groups.map((group) => [security(group), group])),
      ...labels,
    },
    spec: { interfaceName: `tap${id}`, mac: 'fa:16:3e:00:00:01', ipNetworks: [`10.0.${number >> 8}.${number & 255}/32`], ...spec },
  });
}
/** The id of that port in the output. */
export const portId = (number: number, within = namespace): string => {
  const id = String(number).padStart(4, '0');
  return `openstack/${within}/vm-${id}/port-${id}`;
};

export const networkPolicy = (name: string, spec: object, within = namespace): Entry => resource('networkpolicies', name, { namespace: within, spec });
export const globalPolicy = (name: string, spec: object): Entry => resource('globalnetworkpolicies', name, { spec });
export const securityGroup = (group: string, spec: object): Entry => networkPolicy(`ossg.default.${group}`, { selector: `has(${security(group)})`, ...spec });
export const tier = (name: string, spec: object = {}): Entry => resource('tiers', name, { spec });
export const profile = (name: string, spec: object): Entry => resource('profiles', name, { spec });
export const networkSet = (name: string, labels: object, nets: readonly unknown[], within = namespace): Entry =>
  resource('networksets', name, { namespace: within, labels, spec: { nets } });
export const globalNetworkSet = (name: string, labels: object, nets: readonly unknown[]): Entry =>
  resource('globalnetworksets', name, { labels, spec: { nets } });
export const hostEndpoint = (name: string, spec: object, labels: object = {}): Entry =>
  resource('hostendpoints', name, { labels, spec: { node: thisHost, ...spec } });
export const gone = ([key]: Entry): Entry => [key, undefined];

/** A calculation, and the state that its receiver has built so far. */
export class Cluster {
  readonly calculation: Calculation = createPolicyCalculation({ host: thisHost });
  readonly state = new DesiredState();
  readonly defects = new Map<string, string>();

  constructor(...entries: readonly Entry[]) {
    this.put(...entries);
  }

  /** Applies updates and flushes once. Returns the change. */
  put(...entries: readonly Entry[]): ReturnType<Calculation['flush']> {
    for (const [key, value] of entries) this.calculation.update(key, value === undefined ? undefined : bytes(value));
    const change = this.calculation.flush();
    this.state.apply(change);
    const loose = this.state.looseEnds();
    if (loose.length > 0) throw new Error(loose.join('; '));
    for (const [key, defect] of this.calculation.takeDefects()) {
      if (defect) this.defects.set(key, defect.reason);
      else this.defects.delete(key);
    }
    return change;
  }

  workload(number: number) {
    return this.state.workloads.get(portId(number) as never);
  }

  /** The ingress or egress rules of the policy with a name. */
  rules(name: string, direction: 'ingress' | 'egress' = 'ingress') {
    for (const [id, policy] of this.state.policies) if (id.endsWith(`/${name}`)) return policy[direction];
    return undefined;
  }

  /** The members of the IP set that a rule's only selector was compiled into. */
  members(id: string | undefined): readonly string[] | undefined {
    const set = this.state.ipSets.get(id as never);
    return set && [...set.members].sort();
  }
}

/** Whether a change is empty. */
export const isNothing = (change: ReturnType<Calculation['flush']>): boolean =>
  Object.values(change).every((part: ReadonlyMap<string, unknown>) => part.size === 0);
