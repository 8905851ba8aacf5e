// Neutron's rows as they come over the wire: plain JSON with Neutron's own field names. They are checked here, once.
import { z } from 'zod';

const id = z.string().min(1);
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const optionalText = z
  .string()
  .nullish()
  .transform((value) => value ?? undefined);
const optionalNumber = z
  .number()
  .nullish()
  .transform((value) => value ?? undefined);

const binding = z.object({
  host: text,
  /** ACTIVE, or INACTIVE for the binding that a live migration prepares. */
  status: text,
  vif_type: text,
  profile: z.record(z.string(), z.unknown()),
});

const port = z.object({
  id,
  network_id: id,
  project_id: text,
  mac_address: text,
  admin_state_up: z.boolean(),
  status: text,
  device_id: text,
  device_owner: text,
  fixed_ips: z.array(z.object({ ip_address: z.string(), subnet_id: z.string() })),
  bindings: z.array(binding),
  security_groups: z.array(id),
  allowed_address_pairs: z.array(z.object({ ip_address: z.string(), mac_address: text })),
  port_security_enabled: z.boolean(),
  extra_dhcp_opts: z.array(z.object({ opt_name: text, opt_value: text, ip_version: z.union([z.literal(4), z.literal(6)]).catch(4) })),
  dns: z.object({ dns_name: text, current_dns_domain: text }).nullable(),
  qos_policy_id: optionalText,
});

const subnet = z.object({
  id,
  network_id: id,
  cidr: z.string(),
  gateway_ip: optionalText,
  enable_dhcp: z.boolean(),
  /** Absent, like the name servers, when only ports refer to the subnet. */
  host_routes: z.array(z.object({ destination: z.string(), nexthop: z.string() })).default([]),
  dns_nameservers: z.array(z.string()).default([]),
  ipv6_ra_mode: optionalText,
  ipv6_address_mode: optionalText,
});

const rule = z.object({
  id,
  security_group_id: id,
  direction: text,
  ethertype: text,
  protocol: z
    .union([z.string(), z.number()])
    .nullish()
    .transform((value) => value ?? undefined),
  port_range_min: optionalNumber,
  port_range_max: optionalNumber,
  remote_ip_prefix: z
    .unknown()
    .transform((value) => (value === null || value === undefined ? undefined : typeof value === 'string' ? value : JSON.stringify(value))),
  remote_group_id: optionalText,
  remote_address_group_id: optionalText,
});

const qosRule = z.object({
  type: z.string(),
  direction: optionalText,
  max_kbps: optionalNumber,
  max_burst_kbps: optionalNumber,
  max_kpps: optionalNumber,
});

const floatingIp = z.object({ id, status: text, fixed_port_id: id, fixed_ip_address: text, floating_ip_address: text });

const rows = z.object({
  ports: z.array(port),
  networks: z.array(z.object({ id, name: text, qos_policy_id: optionalText })),
  subnets: z.array(subnet),
  /** Groups that were named in the request have their rules; groups to which ports belong have only their names. */
  security_groups: z.array(z.object({ id, name: text, stateful: z.boolean(), rules: z.array(rule).optional() })),
  floating_ips: z.array(floatingIp),
  /** Floating IPs of other ports that have an allowed address pair of the named ports as a fixed address. `port` is their own port. */
  paired_floating_ips: z.array(floatingIp.extend({ port })),
  address_groups: z.array(z.object({ id, name: text, addresses: z.array(z.string()) })),
  qos_policies: z.array(z.object({ id, rules: z.array(qosRule) })),
  /** Neutron's option `dns_domain`; null without its DNS extension, and then ports have no assigned names. */
  dns_domain: z.string().nullable(),
});

const routedSubnet = z.object({ id, network_id: id, cidr: z.string(), gateway_ip: optionalText });
const routedNetwork = z.object({
  id,
  /** The `provider:network_type` of each segment. */
  types: z.array(z.string()),
  /** Whether floating IPs come from this network. */
  external: z.boolean(),
});
const routedSubnets = z.object({ subnets: z.array(routedSubnet), networks: z.array(routedNetwork) });

const notCarriedOut = z.object({ kind: z.string(), id, what: z.string() });

const portStamp = z.tuple([id, z.string()]);

const project = z.object({ id, name: text, parent_id: text });

/** A port's binding to a host. */
export type BindingRow = z.infer<typeof binding>;
/** A port with everything that its endpoint needs. */
export type PortRow = z.infer<typeof port>;
/** A subnet. */
export type SubnetRow = z.infer<typeof subnet>;
/** A security group rule. */
export type RuleRow = z.infer<typeof rule>;
/** A floating IP that is associated with a port. */
export type FloatingIpRow = z.infer<typeof floatingIp>;
/** A rule of a QoS policy. */
export type QosRuleRow = z.infer<typeof qosRule>;
/** An answer to `rows`. */
export type Rows = z.infer<typeof rows>;
/** A security group. */
export type SecurityGroupRow = Rows['security_groups'][number];
/** An address group. */
export type AddressGroupRow = Rows['address_groups'][number];
/** A subnet's place in the flat space of addresses. */
export type RoutedSubnet = z.infer<typeof routedSubnet>;
/** What decides whether a network's addresses are routed. */
export type RoutedNetwork = z.infer<typeof routedNetwork>;
/** An answer to `subnets`. */
export type RoutedSubnets = z.infer<typeof routedSubnets>;
/** An object in Neutron that has no effect in Calico, and the reason. */
export type NotCarriedOut = z.infer<typeof notCarriedOut>;
/** A port's id, and a text that is another one after each change of the port. */
export type PortStamp = z.infer<typeof portStamp>;
/** A project of Keystone's. */
export type ProjectRow = z.infer<typeof project>;

/** The ids of the rows to read. The answer includes the objects to which the named ports and groups refer. */
export type RowsQuestion = {
  readonly ports: readonly string[];
  readonly subnets: readonly string[];
  readonly security_groups: readonly string[];
  readonly address_groups: readonly string[];
};

/** The subnets to read: those of a network, or all of a family. */
export type SubnetsQuestion = { readonly network: string } | { readonly ip_version: 4 | 6 };

/** A request for no rows. */
export const noRowsQuestion: RowsQuestion = { ports: [], subnets: [], security_groups: [], address_groups: [] };
/** An empty answer. */
export const noRows: Rows = {
  ports: [],
  networks: [],
  subnets: [],
  security_groups: [],
  floating_ips: [],
  paired_floating_ips: [],
  address_groups: [],
  qos_policies: [],
  dns_domain: null,
};

// These functions check an answer and return it typed. They throw a ZodError for an answer that differs from the protocol in neutron/README.md.
/** Checks an answer to `rows`. */
export const parseRows = (answer: unknown): Rows => rows.parse(answer);
/** A security group rule in an event; undefined when it lacks fields. */
export const parseRule = (value: unknown): RuleRow | undefined => rule.safeParse(value).data;
/** Checks an answer to `projects`. */
export const parseProjects = (answer: unknown): readonly ProjectRow[] => z.array(project).parse(answer);
/** Checks an answer to `subnets`. */
export const parseRoutedSubnets = (answer: unknown): RoutedSubnets => routedSubnets.parse(answer);
/** Checks an answer to `not_carried_out`. */
export const parseNotCarriedOut = (answer: unknown): readonly NotCarriedOut[] => z.array(notCarriedOut).parse(answer);
/** Checks an answer to `shared_stamp`. */
export const parseSharedStamp = (answer: unknown): string | undefined => optionalText.parse(answer);
/** Checks an answer to `port_stamps`. */
export const parsePortStamps = (answer: unknown): readonly PortStamp[] => z.array(portStamp).parse(answer);
/** Checks a list of ids. */
export const parseIds = (answer: unknown): readonly string[] => z.array(id).parse(answer);

/** A process that answers requests for rows: the Neutron process that announced a change, or the rows process. */
export interface RowsSource {
  /** The committed rows, all read in one transaction that begins after this call. */
  rows(question: RowsQuestion): Promise<Rows>;
  projects(ids: readonly string[]): Promise<readonly ProjectRow[]>;
  /** Subnets' prefixes and gateways, with their networks. Before a commit, they are read in the transaction that waits for the answer. */
  subnets(question: SubnetsQuestion): Promise<RoutedSubnets>;
}
