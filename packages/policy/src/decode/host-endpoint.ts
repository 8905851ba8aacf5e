// HostEndpoint: an interface of a host itself, by name or by the addresses that are expected on it.
import {
  type EndpointPort,
  endpointMost,
  hostCidr,
  type IpAddress,
  isFields,
  isInterfaceName,
  type Labels,
  labelsMost,
  parseAddress,
  show,
  tooMany,
} from '@calico-openstack/datamodel';
import { fieldNames, isIntegerBetween, readFields, readText, readTexts } from './fields.ts';
import { type Reading, readResource } from './reading.ts';

export type HostEndpointDefinition = {
  /** Exactly as the agent's own name. */
  readonly host: string;
  readonly labels: Labels;
  /** A name, or `*` for every interface without a host endpoint of its own; undefined: found by `expectedIps`. */
  readonly interfaceName?: string;
  readonly expectedIps: readonly IpAddress[];
  readonly profiles: readonly string[];
  readonly ports: readonly EndpointPort[];
};

const hostEndpointFields = fieldNames('node', 'interfaceName', 'expectedIPs', 'profiles', 'ports');
const portFields = fieldNames('name', 'protocol', 'port');
const portProtocols: ReadonlyMap<string, number> = new Map(Object.entries({ tcp: 6, udp: 17, sctp: 132, '6': 6, '17': 17, '132': 132 }));

/**
 * Absent when it cannot be said which interface of which host it is. What else is not understood is left out: the interface stays policed.
 */
export function decodeHostEndpoint(bytes: Uint8Array): Reading<HostEndpointDefinition> {
  return readResource(bytes, ({ metadata, spec }, complain) => {
    const { fields } = readFields(spec, hostEndpointFields);
    const host = readText(fields.node);
    const interfaceName = readText(fields.interfaceName);
    const addresses = readTexts(fields.expectedIPs);
    const profiles = readTexts(fields.profiles);
    const expectedIps = new Set<IpAddress>();
    for (const text of addresses.ok ? first(addresses.value, endpointMost.addresses, 'spec.expectedIPs', complain) : []) {
      const address = parseAddress(text);
      if (address) expectedIps.add(address);
      else complain(`spec.expectedIPs holds ${show(text)}, which is not an address`);
    }
    if (!addresses.ok) complain(`spec.expectedIPs ${addresses.reason}`);
    if (!profiles.ok) complain(`spec.profiles ${profiles.reason}; it counts as empty`);
    if (!host.ok || host.value === undefined) complain(`spec.node is ${show(fields.node)}; the host endpoint counts as absent`);
    else if (!interfaceName.ok || (interfaceName.value !== undefined && interfaceName.value !== '*' && !isInterfaceName(interfaceName.value)))
      complain(`spec.interfaceName is ${show(fields.interfaceName)}, not an interface's name; the host endpoint counts as absent`);
    else if (interfaceName.value === undefined && expectedIps.size === 0)
      complain('neither spec.interfaceName nor spec.expectedIPs says which interface it is; the host endpoint counts as absent');
    else
      return {
        host: host.value,
        labels: Object.fromEntries(first(Object.entries(metadata.labels), labelsMost, 'metadata.labels', complain)),
        ...(interfaceName.value !== undefined && { interfaceName: interfaceName.value }),
        expectedIps: [...expectedIps],
        profiles: profiles.ok ? first(profiles.value, endpointMost.profiles, 'spec.profiles', complain) : [],
        ports: readPorts(fields.ports, complain),
      };
    return undefined;
  });
}

/** What of a list counts: what is too much is left out, since the interface has to stay policed. */
function first<T>(list: readonly T[], most: number, field: string, complain: (reason: string) => void): readonly T[] {
  const excess = tooMany(list.length, most);
  if (!excess) return list;
  complain(`${field} ${excess}; the others do not count`);
  return list.slice(0, most);
}

/** What a host endpoint adds to sets: its expected addresses. */
export const hostEndpointNets = (definition: HostEndpointDefinition) => definition.expectedIps.map(hostCidr);

function readPorts(value: unknown, complain: (reason: string) => void): readonly EndpointPort[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    complain(`spec.ports is ${show(value)}, not a list`);
    return [];
  }
  return first(value as unknown[], endpointMost.ports, 'spec.ports', complain).flatMap((entry): EndpointPort[] => {
    const { name, protocol, port } = isFields(entry) ? readFields(entry, portFields).fields : {};
    const number = typeof protocol === 'string' || typeof protocol === 'number' ? portProtocols.get(String(protocol).toLowerCase()) : undefined;
    if (typeof name === 'string' && name !== '' && number !== undefined && isIntegerBetween(port, 1, 65535)) return [{ name, protocol: number, port }];
    complain(`spec.ports holds ${show(name)}, which is not a name with a TCP, UDP or SCTP port`);
    return [];
  });
}
