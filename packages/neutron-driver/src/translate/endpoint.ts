// Translates a port's rows to its WorkloadEndpoints, and to its LiveMigration while it migrates. The format is that of upstream's driver.
import { addressOf, hostCidr, isHostCidr, parseAddress, parseCidr, parseMac } from '@calico-openstack/addresses';
import {
  addressPairMacsAnnotation,
  compareText,
  encodeExtraDhcpOptions,
  extraDhcpOptionsAnnotation,
  fqdnAnnotation,
  groupNameMax,
  labelValueMax,
  namespaceLabel,
  networkIdAnnotation,
  packetRatesAnnotation,
  sanitiseLabel,
  tapName,
  workloadEndpointName,
} from '@calico-openstack/datamodel';
import type { BindingRow, FloatingIpRow, PortRow, ProjectRow, Rows } from '../rows.ts';
import type { ResourceContent } from '../sync/content.ts';
import { greatPacketRates, type QosOptions, qosControls } from './qos.ts';

/** The place of an endpoint: its key has the host and the workload. */
export type Slot = { readonly host: string; readonly device: string };

/** What a port's endpoint needs besides the port itself. */
export type EndpointFacts = {
  readonly namespace: string;
  readonly network: Rows['networks'][number] | undefined;
  /** The gateways by subnet id. */
  readonly gateways: ReadonlyMap<string, string>;
  readonly groupNames: ReadonlyMap<string, string>;
  /** The floating IPs that lead to this port (`leadingTo`). */
  readonly floatingIps: readonly FloatingIpRow[];
  readonly qosRules: readonly Rows['qos_policies'][number]['rules'][number][];
  readonly project: ProjectRow | undefined;
  readonly dnsDomain: string | null;
  /** For a port without port security: the prefixes whose addresses it may use as source. */
  readonly speaksFor: readonly string[];
  readonly spoofingAllowed: boolean;
  readonly qos: QosOptions;
};

/** An endpoint that the port should have. */
export type Wish = {
  readonly slot: Slot;
  /** True between unbinding and binding again on the same host: an existing endpoint stays, and none is created. */
  readonly onlyIfPresent: boolean;
};

/** The beginnings of a device_owner whose ports get endpoints: VMs and containers. */
export const endpointOwners = ['compute:', 'kuryr:container'] as const;
/** Whether ports of this device_owner get endpoints. */
export const ownsEndpoint = (deviceOwner: string): boolean => endpointOwners.some((prefix) => deviceOwner.startsWith(prefix));

/** The port's present binding. */
export const activeBinding = (port: PortRow): BindingRow | undefined => port.bindings.find((binding) => binding.status !== 'INACTIVE');

/** The host to which Nova migrates the port, if that is not its present host. */
export function migrationTarget(host: string, profile: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const target = profile?.['migrating_to'];
  return typeof target === 'string' && target !== '' && target !== host ? target : undefined;
}

/** The endpoints that the port should have. */
export function endpointWishes(port: PortRow | undefined): readonly Wish[] {
  if (!port?.admin_state_up || port.device_id === '' || !ownsEndpoint(port.device_owner)) return [];
  if (port.fixed_ips.length === 0 || !parseMac(port.mac_address)) return []; // Felix would refuse such an endpoint
  const binding = activeBinding(port);
  if (!binding || binding.host === '') return [];
  const target = migrationTarget(binding.host, binding.profile);
  const device = port.device_id;
  // At every change of profile, vNIC type or host, ML2 unbinds and rebinds, and announces both. A port whose binding failed has no endpoint.
  const here = binding.vif_type === 'tap' ? [false] : binding.vif_type === 'unbound' ? [true] : [];
  return [
    ...here.map((onlyIfPresent) => ({ slot: { host: binding.host, device }, onlyIfPresent })),
    ...(target !== undefined && here.length > 0 ? [{ slot: { host: target, device }, onlyIfPresent: false }] : []),
  ];
}

/** The migration under way. */
export function migrationOf(port: PortRow | undefined): { readonly from: Slot; readonly to: Slot } | undefined {
  const [from, to] = endpointWishes(port);
  return from && to && { from: from.slot, to: to.slot };
}

/** The name of a port's WorkloadEndpoint. */
export const endpointName = (slot: Slot, portId: string): string =>
  workloadEndpointName({ host: slot.host, orchestrator: 'openstack', workload: slot.device, endpoint: portId });

/** The content of a port's WorkloadEndpoint on one host. `warn` is called for everything that is left out. */
export function endpointContent(port: PortRow, slot: Slot, facts: EndpointFacts, warn: (what: string) => void = () => {}): ResourceContent {
  const own = addresses(port.fixed_ips.map((ip) => ip.ip_address));
  const pairs = port.port_security_enabled ? addressPairs(port, own) : noPairs; // without port security a port has no pairs in Neutron
  const spoofed = port.port_security_enabled ? pairs.prefixes : facts.speaksFor;
  if (spoofed.length > 0 && !facts.spoofingAllowed)
    warn(`source prefixes ${spoofed.join(', ')} are not allowed: FelixConfiguration has workloadSourceSpoofing other than Any`);
  for (const bad of pairs.bad) warn(`allowed address pair ${JSON.stringify(bad)} is neither an address nor a prefix`);
  const gateways = port.fixed_ips.map((ip) => facts.gateways.get(ip.subnet_id)).filter((gateway) => gateway !== undefined);
  const gateway = (v6: boolean): string | undefined => gateways.findLast((address) => address.includes(':') === v6);
  const [ipv4Gateway, ipv6Gateway] = [gateway(false), gateway(true)];
  const nats = facts.floatingIps
    .filter((ip) => has(ip.fixed_ip_address, [...own, ...pairs.hosts], ip.floating_ip_address, warn))
    .map((ip) => ({ internalIP: ip.fixed_ip_address, externalIP: ip.floating_ip_address }));
  const qos = qosControls(facts.qosRules, facts.qos);
  const packetRates = greatPacketRates(facts.qosRules);
  const fqdn = assignedFqdn(port, facts.dnsDomain);
  return {
    kind: 'WorkloadEndpoint',
    name: endpointName(slot, port.id),
    namespace: facts.namespace,
    labels: {
      ...(port.port_security_enabled && groupLabels(port.security_groups, facts.groupNames)),
      [namespaceLabel]: facts.namespace,
      'projectcalico.org/orchestrator': 'openstack',
      'projectcalico.org/openstack-project-id': port.project_id,
      ...projectLabels(facts.project),
      'projectcalico.org/openstack-network-name': sanitiseLabel(facts.network?.name ?? '', labelValueMax),
    },
    annotations: {
      [networkIdAnnotation]: port.network_id,
      ...(fqdn !== undefined && { [fqdnAnnotation]: fqdn }),
      ...(pairs.macs !== undefined && { [addressPairMacsAnnotation]: pairs.macs }),
      ...(Object.keys(packetRates).length > 0 && { [packetRatesAnnotation]: JSON.stringify(packetRates) }),
      ...(port.extra_dhcp_opts.length > 0 && { [extraDhcpOptionsAnnotation]: extraDhcpOptions(port) }),
    },
    spec: {
      orchestrator: 'openstack',
      workload: slot.device,
      node: slot.host,
      endpoint: port.id,
      interfaceName: tapName(port.id),
      mac: port.mac_address,
      ipNetworks: [...own, ...pairs.hosts],
      allowedIps: pairs.hosts,
      ...(ipv4Gateway !== undefined && { ipv4Gateway }),
      ...(ipv6Gateway !== undefined && { ipv6Gateway }),
      ...(nats.length > 0 && { ipNATs: nats.toSorted((a, b) => (`${a.internalIP} ${a.externalIP}` < `${b.internalIP} ${b.externalIP}` ? -1 : 1)) }),
      ...(!port.port_security_enabled && { profiles: ['projectcalico-default-allow'] }),
      ...(spoofed.length > 0 && facts.spoofingAllowed && { allowSpoofedSourcePrefixes: spoofed }),
      ...(qos && { qosControls: qos }),
    },
  };
}

/** The floating IPs that lead to a port: its own, and those of ports without an endpoint that have an address of this port's allowed address pairs. */
export function leadingTo(port: PortRow, rows: Pick<Rows, 'floating_ips' | 'paired_floating_ips'>): readonly FloatingIpRow[] {
  const own = rows.floating_ips.filter((ip) => ip.fixed_port_id === port.id);
  if (port.allowed_address_pairs.length === 0 || !port.port_security_enabled) return own;
  const pairs = new Set(port.allowed_address_pairs.map((pair) => parseCidr(pair.ip_address)).filter((cidr) => cidr !== undefined));
  const others = rows.paired_floating_ips.filter((ip) => {
    const address = parseAddress(ip.fixed_ip_address);
    return address && pairs.has(hostCidr(address)) && ip.port.id !== port.id && ip.port.network_id === port.network_id && endpointWishes(ip.port).length === 0;
  });
  return [...own, ...others];
}

/** Whether a floating IP's fixed address is one of the endpoint's: Neutron keeps a floating IP at a port that has lost the address, and another port may have it by now. */
function has(fixedAddress: string, held: readonly string[], floatingIp: string, warn: (what: string) => void): boolean {
  const address = parseAddress(fixedAddress);
  if (address && held.includes(hostCidr(address))) return true;
  warn(`floating IP ${floatingIp} is not translated: it is for ${fixedAddress === '' ? 'no address' : fixedAddress}, which the port does not have`);
  return false;
}

/** The annotation's text, which does not depend on the order in which the database gives the options. */
function extraDhcpOptions(port: PortRow): string {
  const options = port.extra_dhcp_opts.map(({ opt_name, opt_value, ip_version }) => ({ name: opt_name, value: opt_value, family: ip_version }));
  return encodeExtraDhcpOptions(options.sort((a, b) => a.family - b.family || compareText(a.name, b.name)));
}

const addresses = (texts: readonly string[]): readonly string[] => [
  ...new Set(
    texts
      .map(parseAddress)
      .filter((address) => address !== undefined)
      .map(hostCidr),
  ),
];

type Pairs = {
  readonly hosts: readonly string[];
  readonly prefixes: readonly string[];
  /** The text of the annotation with the pairs' MACs. */
  readonly macs: string | undefined;
  readonly bad: readonly string[];
};
const noPairs: Pairs = { hosts: [], prefixes: [], macs: undefined, bad: [] };

/** The allowed address pairs. Single addresses become addresses of the endpoint, prefixes become sources that it may use. The port's own fixed IPs are left out of both, because DHCP would not serve them otherwise. */
function addressPairs(port: PortRow, own: readonly string[]): Pairs {
  const [hosts, prefixes, bad] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const macs = new Map<string, Set<string>>();
  for (const { ip_address, mac_address } of port.allowed_address_pairs) {
    const cidr = parseCidr(ip_address);
    const mac = parseMac(mac_address);
    if (cidr && mac !== undefined && isSourceMac(mac) && mac !== parseMac(port.mac_address)) {
      const name = isHostCidr(cidr) ? addressOf(cidr) : cidr;
      macs.set(name, (macs.get(name) ?? new Set()).add(mac));
    }
    if (!cidr) bad.add(ip_address);
    else if (!isHostCidr(cidr)) prefixes.add(cidr);
    else if (!own.includes(cidr)) hosts.add(cidr);
  }
  return { hosts: [...hosts], prefixes: [...prefixes], macs: macsText(macs), bad: [...bad] };
}

/** Whether frames can come from this MAC: group addresses (IEEE 802.3, 3.2.3) and the all-zero address are nobody's. */
const isSourceMac = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';

/** The annotation's text, which does not depend on the order of the pairs. */
function macsText(macs: ReadonlyMap<string, ReadonlySet<string>>): string | undefined {
  if (macs.size === 0) return undefined;
  const names = [...macs.keys()].sort(compareText);
  return `{${names.map((name) => `${JSON.stringify(name)}:${JSON.stringify([...macs.get(name)!].sort(compareText))}`).join(',')}}`;
}

/** The label of a security group's members. */
export const groupLabel = (groupId: string): string => `sg.projectcalico.org/openstack-${groupId}`;

/** The labels of groups, sorted by id: when two groups have the same name after sanitising, always the same one gets the label. */
function groupLabels(groups: readonly string[], names: ReadonlyMap<string, string>): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const id of groups.toSorted()) {
    const name = sanitiseLabel(names.get(id) ?? '', groupNameMax);
    labels[groupLabel(id)] = name;
    if (name !== '') labels[`sg-name.projectcalico.org/openstack-${name}`] = id;
  }
  return labels;
}

/** The label with the project's name, from Keystone. */
export const projectNameLabel = 'projectcalico.org/openstack-project-name';
/** The label with the id of the project's parent, from Keystone. */
export const projectParentLabel = 'projectcalico.org/openstack-project-parent-id';
function projectLabels(project: ProjectRow | undefined): Record<string, string> {
  if (!project) return {};
  return { [projectNameLabel]: sanitiseLabel(project.name, labelValueMax), [projectParentLabel]: project.parent_id };
}

/** The name that Neutron's DNS extension assigns to the port's first address, as the API shows it in dns_assignment. */
function assignedFqdn(port: PortRow, dnsDomain: string | null): string | undefined {
  const first = port.fixed_ips[0];
  if (dnsDomain === null || !first) return undefined;
  const configured = dnsDomain === '' || dnsDomain.endsWith('.') ? dnsDomain : `${dnsDomain}.`;
  const ownDomain = configured !== '' && configured !== defaultDnsDomain; // only then does Neutron use ports' names
  const name = ownDomain && port.dns ? port.dns.dns_name : '';
  const domain = ownDomain && port.dns && port.dns.current_dns_domain !== '' ? port.dns.current_dns_domain : configured;
  if (name.endsWith('.')) return name;
  const host = name !== '' ? name : `host-${first.ip_address.replaceAll(/[.:]/g, '-')}`;
  return domain === '' && name === '' ? host : `${host}.${domain}`;
}
const defaultDnsDomain = 'openstacklocal.';

/** The content of a migrating port's LiveMigration. Its name is that of the endpoint at the destination. */
export function migrationContent(portId: string, move: { readonly from: Slot; readonly to: Slot }, namespace: string): ResourceContent {
  const end = (slot: Slot) => ({
    workloadEndpoint: { hostname: slot.host, orchestratorID: 'openstack', workloadID: `${namespace}/${slot.device}`, endpointID: portId },
  });
  return { kind: 'LiveMigration', name: endpointName(move.to, portId), namespace, spec: { source: end(move.from), target: end(move.to) } };
}
