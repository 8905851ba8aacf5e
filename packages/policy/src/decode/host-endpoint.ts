// Decodes a HostEndpoint: an interface of a host itself, identified by its name or by the addresses that are expected on it.
import { hostCidr, type IpAddress, parseAddress } from '@calico-openstack/addresses';
import {
  type EndpointPort,
  endpointMost,
  isFields,
  isInterfaceName,
  type Labels,
  labelsMost,
  parsePortProtocol,
  show,
  tooMany,
} from '@calico-openstack/datamodel';
import { fieldNames, isIntegerBetween, readFields, readText, readTexts } from './fields.ts';
import { type Reading, readResource } from './reading.ts';

/** A HostEndpoint, as far as it is understood. */
export type HostEndpointDefinition = {
  /** The host's name. It is compared exactly with the agent's own. */
  readonly host: string;
  readonly labels: Labels;
  /** A name, or `*` for every interface without a host endpoint of its own. Absent when the interface is the one that has one of `expectedIps`. */
  readonly interfaceName?: string;
  readonly expectedIps: readonly IpAddress[];
  readonly profiles: readonly string[];
  readonly ports: readonly EndpointPort[];
};

const hostEndpointFields = fieldNames('node', 'interfaceName', 'expectedIPs', 'profiles', 'ports');
const portFields = fieldNames('name', 'protocol', 'port');

/** Absent when the value does not say which interface of which host it is for. Anything else that is not understood is skipped, so that the interface stays policed. */
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

/** The first `most` entries of a list. The excess is skipped with a complaint, because the interface has to stay policed. */
function first<T>(list: readonly T[], most: number, field: string, complain: (reason: string) => void): readonly T[] {
  const excess = tooMany(list.length, most);
  if (!excess) return list;
  complain(`${field} ${excess}; the others do not count`);
  return list.slice(0, most);
}

/** The addresses that a host endpoint contributes to IP sets: those that are expected on it. */
export const hostEndpointNets = (definition: HostEndpointDefinition) => definition.expectedIps.map(hostCidr);

function readPorts(value: unknown, complain: (reason: string) => void): readonly EndpointPort[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    complain(`spec.ports is ${show(value)}, not a list`);
    return [];
  }
  return first(value as unknown[], endpointMost.ports, 'spec.ports', complain).flatMap((entry): EndpointPort[] => {
    const { name, protocol, port } = isFields(entry) ? readFields(entry, portFields).fields : {};
    const number = parsePortProtocol(protocol);
    if (typeof name === 'string' && name !== '' && number !== undefined && isIntegerBetween(port, 1, 65535)) return [{ name, protocol: number, port }];
    complain(`spec.ports holds ${show(name)}, which is not a name with a TCP, UDP or SCTP port`);
    return [];
  });
}
