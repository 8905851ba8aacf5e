// The cluster of the bench: projects with ten security groups each, endpoints on many hosts, 2 000 policies of 10 rules. It is generated step by step, so that only the memory
// of the calculation is measured.
import { workloadEndpointName } from '@calico-openstack/datamodel';

/** The host whose policy is calculated. */
export const host = 'compute-0';
/** The number of endpoints on that host. */
export const localEndpoints = 200;
/** The number of policies. */
export const policies = 2_000;
/** The number of security groups of each project. */
export const groupsPerProject = 10;
const projects = policies / groupsPerProject;
const namespace = 'openstack';
const root = '/calico/resources/v3/projectcalico.org/';

/** A key and its new value. */
export type Update = readonly [key: string, value: Uint8Array | undefined];

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();
/** A key and value as they come from etcd: a newly decoded text, and bytes. */
const update = (key: string, value: object): Update => [fromUtf8.decode(utf8.encode(key)), utf8.encode(JSON.stringify(value))];

/** A number as an id that looks like a UUID. */
function uuid(kind: number, number: number): string {
  const digits = ((number * 2_654_435_761) >>> 0).toString(16).padStart(8, '0');
  return `${digits}-${kind.toString(16).padStart(4, '0')}-4000-8000-${number.toString(16).padStart(12, '0')}`;
}

const groupLabel = (group: number | string): string => `sg.projectcalico.org/openstack-${typeof group === 'number' ? uuid(1, group) : group}`;
const groupName = (group: number | string): string => `group-${group}`;

/** How an endpoint differs from the usual. */
export type EndpointChoice = {
  readonly groups?: readonly (number | string)[];
  readonly host?: string;
  readonly note?: string;
  /** The number of projects, if it is not that of the bench of the calculation. */
  readonly projects?: number;
};

/** The endpoint with this number; the first 200 are local. It is in three groups of its project, unless `choice` names others. */
export function endpoint(number: number, choice: EndpointChoice = {}): Update {
  const project = number % (choice.projects ?? projects);
  const first = Math.floor(number / (choice.projects ?? projects));
  const groups = choice.groups ?? [0, 1, 3].map((step) => project * groupsPerProject + ((first + step) % groupsPerProject));
  const [device, port] = [uuid(2, number), uuid(3, number)];
  const node = choice.host ?? (number < localEndpoints ? host : `compute-${1 + (number % 500)}`);
  const name = workloadEndpointName({ host: node, orchestrator: 'openstack', workload: device, endpoint: port });
  const value = {
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name,
      namespace,
      uid: uuid(4, number),
      creationTimestamp: '2026-11-24T00:00:00Z',
      labels: {
        'projectcalico.org/namespace': namespace,
        'projectcalico.org/orchestrator': 'openstack',
        'projectcalico.org/openstack-project-id': uuid(5, project).replaceAll('-', ''),
        'projectcalico.org/openstack-project-name': `project-${project}`,
        'projectcalico.org/openstack-project-parent-id': 'default',
        'projectcalico.org/openstack-network-name': `network-${number % 3}`,
        ...Object.fromEntries(
          groups.flatMap((group) => [
            [groupLabel(group), groupName(group)],
            [`sg-name.projectcalico.org/openstack-${groupName(group)}`, typeof group === 'number' ? uuid(1, group) : group],
          ]),
        ),
      },
      annotations: { 'openstack.projectcalico.org/network-id': uuid(6, number % 3), ...(choice.note && { 'openstack.projectcalico.org/note': choice.note }) },
    },
    spec: {
      orchestrator: 'openstack',
      workload: device,
      node,
      endpoint: port,
      interfaceName: `tap${port.slice(0, 11)}`,
      mac: `fa:16:3e:${[number >> 16, number >> 8, number].map((byte) => (byte & 255).toString(16).padStart(2, '0')).join(':')}`,
      ipNetworks: [
        `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}/32`,
        `fd00:10::1${(number >> 16).toString(16)}:${(number & 65_535).toString(16)}/128`,
      ],
      ipv4Gateway: '10.0.0.1',
      ipv6Gateway: 'fd00:10::1',
    },
  };
  return update(`${root}workloadendpoints/${namespace}/${name}`, value);
}

/** A security group of ten rules: its own members, two other groups of the project, prefixes, ICMP, and all egress. Another `port` gives another value. */
export function securityGroup(group: number, port = 443): Update {
  const project = Math.floor(group / groupsPerProject);
  const other = (step: number): number => project * groupsPerProject + ((group + step) % groupsPerProject);
  const from = (remote: number) => ({ selector: `has(${groupLabel(remote)})` });
  const ingress = [
    { action: 'Allow', ipVersion: 4, source: from(group) },
    { action: 'Allow', ipVersion: 6, source: from(group) },
    { action: 'Allow', ipVersion: 4, protocol: 6, source: from(other(1)), destination: { ports: [port] } },
    { action: 'Allow', ipVersion: 4, protocol: 6, source: from(other(4)), destination: { ports: ['8000:8080'] } },
    { action: 'Allow', ipVersion: 4, protocol: 6, source: { nets: ['10.0.0.0/8'] }, destination: { ports: [22] } },
    { action: 'Allow', ipVersion: 4, protocol: 'ICMP' },
    { action: 'Allow', ipVersion: 6, protocol: 'ICMPv6', icmp: { type: 128 } },
  ];
  const egress = [
    { action: 'Allow', ipVersion: 4 },
    { action: 'Allow', ipVersion: 6 },
    { action: 'Allow', ipVersion: 4, protocol: 17, destination: { ...from(other(2)), ports: [53] } },
  ];
  return policy(`ossg.default.${uuid(1, group)}`, { selector: `has(${groupLabel(group)})`, ingress, egress });
}

/** A group of this name that allows ingress from its own members. */
export const namedGroup = (name: string): Update =>
  policy(`ossg.default.${name}`, {
    selector: `has(${groupLabel(name)})`,
    ingress: [{ action: 'Allow', source: { selector: `has(${groupLabel(name)})` } }],
    egress: [{ action: 'Allow' }],
  });

/** A policy of `rules` rules that selects every endpoint. */
export const policyForAll = (rules: number): Update =>
  policy('everybody', {
    selector: 'all()',
    ingress: Array.from({ length: rules }, (_, index) => ({ action: 'Allow', protocol: 6, destination: { ports: [1000 + index] } })),
    egress: [{ action: 'Allow' }],
  });

function policy(name: string, spec: object): Update {
  const value = {
    kind: 'NetworkPolicy',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name, namespace, uid: uuid(7, 1), creationTimestamp: '2026-11-24T00:00:00Z' },
    spec,
  };
  return update(`${root}networkpolicies/${namespace}/${name}`, value);
}
