// WorkloadEndpoint: one bound VM port on one host. Decoding follows what Felix accepts (peer/felix.md 1.3 and 1.5): a bad address, MAC or port makes the whole endpoint invalid.
import { parseAddress, parseCidr, parseMac } from './addresses.ts';
import { endpointMost, tooMany, tooManyLabels } from './bounds.ts';
import type { Cidr, IpAddress, IpNat, QosControls } from './desired.ts';
import { isInterfaceName } from './names.ts';
import { type Decoded, decoded, decodeResource, type Fields, isFields, type Labels, refused, show } from './resource.ts';

export const networkIdAnnotation = 'openstack.projectcalico.org/network-id';
export const fqdnAnnotation = 'openstack.projectcalico.org/fqdn';
/** Ours: MACs of allowed address pairs that are not the port's. JSON: `{"<address or prefix>": ["<MAC>", …]}`. */
export const addressPairMacsAnnotation = 'openstack.projectcalico.org/address-pair-macs';
export const namespaceLabel = 'projectcalico.org/namespace';

export type EndpointPort = { readonly name: string /** 6, 17 or 132 */; readonly protocol: number; readonly port: number };

/** What is inside the value; whose it is (host, workload, endpoint) stands in the key. */
export type WorkloadEndpoint = {
  readonly labels: Labels;
  readonly annotations: Labels;
  /** metadata.creationTimestamp in milliseconds since 1970; `Infinity` when there is none that can be read: nobody is older for leaving it out. */
  readonly createdMs: number;
  /** What rules' `serviceAccounts` match; OpenStack's endpoints have none. */
  readonly serviceAccount?: string;
  readonly interfaceName: string;
  readonly mac?: string;
  /** Never empty. */
  readonly ipNetworks: readonly Cidr[];
  /** The allowed address pairs among `ipNetworks`: DHCP does not serve them. */
  readonly allowedIps: readonly Cidr[];
  readonly ipv4Gateway?: IpAddress;
  readonly ipv6Gateway?: IpAddress;
  readonly ipNats: readonly IpNat[];
  readonly profiles: readonly string[];
  readonly allowSpoofedSourcePrefixes: readonly Cidr[];
  readonly ports: readonly EndpointPort[];
  readonly qosControls?: QosControls;
};

/** One empty list for all: a reader of a whole cluster keeps a hundred thousand. */
const none: readonly never[] = Object.freeze([]);

/** A list of text; absent and null are empty; undefined when it is anything else. */
function textList(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return none;
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string')) return undefined;
  return value.length > 0 ? value : none;
}

function cidrList(spec: Fields, field: string, most: number): Decoded<readonly Cidr[]> {
  const texts = textList(spec[field]);
  if (!texts) return refused(`spec.${field} is not a list of text`);
  const excess = tooMany(texts.length, most);
  if (excess) return refused(`spec.${field} ${excess}`);
  if (texts.length === 0) return decoded(none);
  const cidrs = texts.map(parseCidr);
  const bad = cidrs.indexOf(undefined);
  if (bad >= 0) return refused(`spec.${field} holds ${show(texts[bad])}, which is not an address or prefix`);
  return decoded((cidrs.length > 1 ? [...new Set(cidrs)] : cidrs) as readonly Cidr[]);
}

function gateway(spec: Fields, field: string, colon: boolean): Decoded<IpAddress | undefined> {
  const value = spec[field];
  if (value === undefined || value === null || value === '') return decoded(undefined);
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (!address || address.includes(':') !== colon) return refused(`spec.${field} is ${show(value)}, not an address of its family`);
  return decoded(address);
}

/** Entries with an address that does not parse are left out, as Felix leaves them out. */
function ipNats(value: unknown): readonly IpNat[] {
  if (!Array.isArray(value) || value.length === 0) return none;
  return value.flatMap((entry: unknown): IpNat[] => {
    if (!isFields(entry)) return [];
    const { internalIP, externalIP } = entry;
    const internal = typeof internalIP === 'string' ? parseAddress(internalIP) : undefined;
    const external = typeof externalIP === 'string' ? parseAddress(externalIP) : undefined;
    return internal && external && internal.includes(':') === external.includes(':') ? [{ internal, external }] : [];
  });
}

const portProtocols: ReadonlyMap<string, number> = new Map(Object.entries({ tcp: 6, udp: 17, sctp: 132, '6': 6, '17': 17, '132': 132 }));

/** TCP, UDP or SCTP, by name or number. */
function portProtocol(value: unknown): number | undefined {
  return typeof value === 'string' || typeof value === 'number' ? portProtocols.get(String(value).toLowerCase()) : undefined;
}

/** Ports without a name are left out; one with another protocol than TCP, UDP or SCTP makes the endpoint invalid. */
function endpointPorts(value: unknown): Decoded<readonly EndpointPort[]> {
  if (value === undefined || value === null) return decoded(none);
  if (!Array.isArray(value)) return refused('spec.ports is not a list');
  const excess = tooMany(value.length, endpointMost.ports);
  if (excess) return refused(`spec.ports ${excess}`);
  const ports: EndpointPort[] = [];
  for (const entry of value as unknown[]) {
    if (!isFields(entry)) return refused('spec.ports holds something that is not an object');
    const protocol = portProtocol(entry['protocol']);
    const { name, port } = entry;
    if (protocol === undefined) return refused(`spec.ports has protocol ${show(entry['protocol'])}, which is not TCP, UDP or SCTP`);
    if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65535) return refused(`spec.ports has port ${show(port)}`);
    if (typeof name === 'string' && name !== '') ports.push({ name, protocol, port });
  }
  return decoded(ports);
}

function qosControls(value: unknown): QosControls | undefined {
  if (!isFields(value)) return undefined;
  const numbers = Object.entries(value).filter(([, number]) => typeof number === 'number' && Number.isFinite(number));
  return numbers.length > 0 ? (Object.fromEntries(numbers) as QosControls) : undefined;
}

function millisecondsOf(timestamp: string | undefined): number {
  const parsed = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(parsed) ? Number.POSITIVE_INFINITY : parsed;
}

/** A WorkloadEndpoint's value. Refused: what Felix would not act on, with the reason. */
export function decodeWorkloadEndpoint(bytes: Uint8Array): Decoded<WorkloadEndpoint> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const { spec, metadata } = resource.value;
  const labelExcess = tooManyLabels(metadata.labels);
  if (labelExcess) return refused(`metadata.labels ${labelExcess}`);
  const { interfaceName, serviceAccountName } = spec;
  if (typeof interfaceName !== 'string' || !isInterfaceName(interfaceName))
    return refused(`spec.interfaceName ${show(interfaceName)} is not an interface's name`);
  const mac = typeof spec['mac'] === 'string' && spec['mac'] !== '' ? parseMac(spec['mac']) : undefined;
  if (spec['mac'] !== undefined && spec['mac'] !== null && spec['mac'] !== '' && !mac) return refused(`spec.mac ${show(spec['mac'])} is not a MAC`);
  const ipNetworks = cidrList(spec, 'ipNetworks', endpointMost.addresses);
  if (!ipNetworks.ok) return ipNetworks;
  if (ipNetworks.value.length === 0) return refused('spec.ipNetworks is empty');
  const allowedIps = cidrList(spec, 'allowedIps', endpointMost.addresses);
  if (!allowedIps.ok) return allowedIps;
  const spoofed = cidrList(spec, 'allowSpoofedSourcePrefixes', endpointMost.spoofedPrefixes);
  if (!spoofed.ok) return spoofed;
  const ipv4Gateway = gateway(spec, 'ipv4Gateway', false);
  if (!ipv4Gateway.ok) return ipv4Gateway;
  const ipv6Gateway = gateway(spec, 'ipv6Gateway', true);
  if (!ipv6Gateway.ok) return ipv6Gateway;
  const profiles = textList(spec['profiles']);
  if (!profiles) return refused('spec.profiles is not a list of text');
  const profileExcess = tooMany(profiles.length, endpointMost.profiles);
  if (profileExcess) return refused(`spec.profiles ${profileExcess}`);
  const nats = ipNats(spec['ipNATs']);
  const natExcess = tooMany(nats.length, endpointMost.floatingIps);
  if (natExcess) return refused(`spec.ipNATs ${natExcess}`);
  const ports = endpointPorts(spec['ports']);
  if (!ports.ok) return ports;
  const qos = qosControls(spec['qosControls']);
  return decoded({
    labels: metadata.labels,
    annotations: metadata.annotations,
    createdMs: millisecondsOf(metadata.creationTimestamp),
    ...(typeof serviceAccountName === 'string' && serviceAccountName !== '' && { serviceAccount: serviceAccountName }),
    interfaceName,
    ...(mac && { mac }),
    ipNetworks: ipNetworks.value,
    allowedIps: allowedIps.value,
    ...(ipv4Gateway.value && { ipv4Gateway: ipv4Gateway.value }),
    ...(ipv6Gateway.value && { ipv6Gateway: ipv6Gateway.value }),
    ipNats: nats,
    profiles,
    allowSpoofedSourcePrefixes: spoofed.value,
    ports: ports.value,
    ...(qos && { qosControls: qos }),
  });
}
