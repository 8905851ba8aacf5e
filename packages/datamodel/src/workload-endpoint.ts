// A WorkloadEndpoint is one bound VM port on one host. Decoding accepts what upstream's Felix accepts: a bad address, MAC or port makes the whole endpoint invalid.
import { type Cidr, type IpAddress, parseAddress, parseCidr, parseMac } from '@calico-openstack/addresses';
import { endpointMost, tooMany, tooManyLabels } from './bounds.ts';
import type { IpNat, QosControls } from './desired.ts';
import { isInterfaceName } from './names.ts';
import { parsePortProtocol } from './protocols.ts';
import { type Decoded, decoded, decodeResource, type Fields, isFields, type Labels, refused, show } from './resource.ts';

/** The annotation with the id of the port's network. */
export const networkIdAnnotation = 'openstack.projectcalico.org/network-id';
/** The annotation with the port's fully qualified domain name. */
export const fqdnAnnotation = 'openstack.projectcalico.org/fqdn';
/** This project's own annotation: MACs of allowed address pairs that differ from the port's MAC. JSON: `{"<address or prefix>": ["<MAC>", …]}`. */
export const addressPairMacsAnnotation = 'openstack.projectcalico.org/address-pair-macs';
/** This project's own annotation: packet rates greater than 10 000 a second, which Calico's API does not have. JSON: `{"ingressPacketRate": <packets/s>, "egressPacketRate": …}`, in place of those in `spec.qosControls`. */
export const packetRatesAnnotation = 'openstack.projectcalico.org/packet-rates';
/** The label with the endpoint's namespace. */
export const namespaceLabel = 'projectcalico.org/namespace';

/** A named port of an endpoint. `protocol` is 6 (TCP), 17 (UDP) or 132 (SCTP). */
export type EndpointPort = { readonly name: string; readonly protocol: number; readonly port: number };

/** A decoded value. The host, workload and endpoint to which it belongs stand in its key. */
export type WorkloadEndpoint = {
  readonly labels: Labels;
  readonly annotations: Labels;
  /** `metadata.creationTimestamp` in milliseconds since 1970; `Infinity` when it is missing or invalid, so that leaving it out does not make an endpoint older. */
  readonly createdMs: number;
  /** The name that `serviceAccounts` in rules match. OpenStack's endpoints have none. */
  readonly serviceAccount?: string;
  readonly interfaceName: string;
  readonly mac?: string;
  /** Never empty. */
  readonly ipNetworks: readonly Cidr[];
  /** Those of `ipNetworks` that are allowed address pairs and no fixed addresses as well. DHCP does not serve them. */
  readonly allowedIps: readonly Cidr[];
  readonly ipv4Gateway?: IpAddress;
  readonly ipv6Gateway?: IpAddress;
  readonly ipNats: readonly IpNat[];
  readonly profiles: readonly string[];
  readonly allowSpoofedSourcePrefixes: readonly Cidr[];
  readonly ports: readonly EndpointPort[];
  readonly qosControls?: QosControls;
};

/** One empty list that all endpoints share: an agent that reads a whole cluster keeps a hundred thousand of them. */
const none: readonly never[] = Object.freeze([]);

/** Decodes a list of texts. Absent and null are an empty list; anything else gives undefined. */
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

/**
 * The allowed address pairs without those that are the port's own fixed addresses. A writer lists the fixed addresses first and the pairs behind them, so that an address that is both
 * stands in `ipNetworks` twice.
 */
function pairsOnly(spec: Fields, ipNetworks: readonly Cidr[], allowedIps: readonly Cidr[]): readonly Cidr[] {
  const texts = textList(spec['ipNetworks']) ?? none;
  if (texts.length === ipNetworks.length || allowedIps.length === 0) return allowedIps;
  const all = texts.map(parseCidr);
  const fixed = new Set(all.filter((cidr, index) => all.indexOf(cidr) < index));
  return allowedIps.filter((cidr) => !fixed.has(cidr));
}

function gateway(spec: Fields, field: string, colon: boolean): Decoded<IpAddress | undefined> {
  const value = spec[field];
  if (value === undefined || value === null || value === '') return decoded(undefined);
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (!address || address.includes(':') !== colon) return refused(`spec.${field} is ${show(value)}, not an address of its family`);
  return decoded(address);
}

/** Decodes `ipNATs`. Entries with an address that does not parse are skipped, as upstream's Felix does. */
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

/** Decodes `ports`. Ports without a name are skipped; a protocol other than TCP, UDP or SCTP makes the endpoint invalid. */
function endpointPorts(value: unknown): Decoded<readonly EndpointPort[]> {
  if (value === undefined || value === null) return decoded(none);
  if (!Array.isArray(value)) return refused('spec.ports is not a list');
  const excess = tooMany(value.length, endpointMost.ports);
  if (excess) return refused(`spec.ports ${excess}`);
  const ports: EndpointPort[] = [];
  for (const entry of value as unknown[]) {
    if (!isFields(entry)) return refused('spec.ports holds something that is not an object');
    const protocol = parsePortProtocol(entry['protocol']);
    const { name, port } = entry;
    if (protocol === undefined) return refused(`spec.ports has protocol ${show(entry['protocol'])}, which is not TCP, UDP or SCTP`);
    if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65535) return refused(`spec.ports has port ${show(port)}`);
    if (typeof name === 'string' && name !== '') ports.push({ name, protocol, port });
  }
  return decoded(ports);
}

const qosControlName = /^(ingress|egress)(Bandwidth|Burst|Peakrate|Minburst|PacketRate|PacketBurst|MaxConnections)$/;

/** @param packetRates the value of `packetRatesAnnotation` */
function qosControls(value: unknown, packetRates: string | undefined): QosControls | undefined {
  const numbers = isFields(value)
    ? Object.entries(value).filter(([name, number]) => qosControlName.test(name) && typeof number === 'number' && Number.isFinite(number))
    : [];
  const great = packetRates === undefined ? [] : Object.entries(numbersIn(packetRates)).filter(([name]) => name.endsWith('PacketRate'));
  const controls = [...numbers, ...great];
  return controls.length > 0 ? (Object.fromEntries(controls) as QosControls) : undefined;
}

/** The controls in a JSON text. What is none is left out: those in the value's spec are in force then. */
function numbersIn(text: string): QosControls {
  try {
    return qosControls(JSON.parse(text), undefined) ?? {};
  } catch {
    return {};
  }
}

function epochMsOf(timestamp: string | undefined): number {
  const parsed = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(parsed) ? Number.POSITIVE_INFINITY : parsed;
}

/** Decodes a WorkloadEndpoint's value. What Felix would not act on is refused, with the reason. */
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
  const qos = qosControls(spec['qosControls'], metadata.annotations[packetRatesAnnotation]);
  return decoded({
    labels: metadata.labels,
    annotations: metadata.annotations,
    createdMs: epochMsOf(metadata.creationTimestamp),
    ...(typeof serviceAccountName === 'string' && serviceAccountName !== '' && { serviceAccount: serviceAccountName }),
    interfaceName,
    ...(mac && { mac }),
    ipNetworks: ipNetworks.value,
    allowedIps: pairsOnly(spec, ipNetworks.value, allowedIps.value),
    ...(ipv4Gateway.value && { ipv4Gateway: ipv4Gateway.value }),
    ...(ipv6Gateway.value && { ipv6Gateway: ipv6Gateway.value }),
    ipNats: nats,
    profiles,
    allowSpoofedSourcePrefixes: spoofed.value,
    ports: ports.value,
    ...(qos && { qosControls: qos }),
  });
}
