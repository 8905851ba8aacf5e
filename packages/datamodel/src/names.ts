// The datastore's rules for names. They are conventions of Calico's Neutron driver and Felix, which both ends must apply alike.
import { hash } from 'node:crypto';

/** Escapes a part of a WorkloadEndpoint's name: every dash is doubled, so that a single dash separates the parts. */
const doubleDashes = (part: string): string => part.replaceAll('-', '--');

/** The parts of a WorkloadEndpoint's name. */
export type WorkloadEndpointName = { readonly host: string; readonly orchestrator: string; readonly workload: string; readonly endpoint: string };

/** A WorkloadEndpoint's name: `<host>-<orchestrator>-<workload>-<endpoint>`, with the dashes in each part doubled. */
export function workloadEndpointName(parts: WorkloadEndpointName): string {
  return [parts.host, parts.orchestrator, parts.workload, parts.endpoint].map(doubleDashes).join('-');
}

/** The prefix of the names of all endpoints of a host and an orchestrator, for reading them by key prefix. */
export const workloadEndpointNamePrefix = (host: string, orchestrator = 'openstack'): string => `${doubleDashes(host)}-${doubleDashes(orchestrator)}-`;

/**
 * The parts of a WorkloadEndpoint's name; undefined when it does not split into exactly four parts that are not empty.
 * Dashes are paired from the left: in a row of an odd number of dashes, the last one separates.
 */
export function parseWorkloadEndpointName(name: string): WorkloadEndpointName | undefined {
  const parts: string[] = [];
  let start = 0;
  for (let at = name.indexOf('-'); at >= 0; at = name.indexOf('-', at)) {
    if (name.charCodeAt(at + 1) === dash) at += 2;
    else {
      parts.push(singleDashes(name.slice(start, at)));
      at += 1;
      start = at;
    }
  }
  parts.push(singleDashes(name.slice(start)));
  const [host, orchestrator, workload, endpoint] = parts;
  return parts.length === 4 && host && orchestrator && workload && endpoint ? { host, orchestrator, workload, endpoint } : undefined;
}
const dash = 0x2d;
const singleDashes = (part: string): string => part.replaceAll('--', '-');

/** Escapes a part of a key outside the resource tree: `%` first, then `/`, in lower-case hexadecimal. */
export const escapeKeyPart = (part: string): string => part.replaceAll('%', '%25').replaceAll('/', '%2f');

/** The inverse of `escapeKeyPart`. */
export const unescapeKeyPart = (part: string): string => part.replaceAll(/%2f/gi, '/').replaceAll('%25', '%');

const regionPattern = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;

/** Whether `region` may be an OpenStack region in Calico: a lower-case DNS label of at most 46 characters. */
export const isRegion = (region: string): boolean => region.length <= 46 && regionPattern.test(region);

/** `no-region`, or `region-<name>`: the path segment of region-aware keys. `region` is undefined or empty when none is configured. */
export const regionString = (region: string | undefined): string => (region ? `region-${region}` : 'no-region');

/** The namespace of the resources that the Neutron driver writes: `openstack`, or `openstack-region-<name>`. */
export const openstackNamespace = (region: string | undefined): string => (region ? `openstack-${regionString(region)}` : 'openstack');

/** The greatest length of a project's or network's name as a label value. */
export const labelValueMax = 63;
/** The greatest length of a security group's or address group's name. It is shorter because the name also becomes part of a label's name, after a prefix. */
export const groupNameMax = 27;

/** Turns a name that a tenant chose into a label value: cuts it to `max` characters, replaces everything outside `[-_.A-Za-z0-9]` by `_`, then strips both ends to alphanumerics. May be empty. */
export function sanitiseLabel(name: string, max: number): string {
  return [...name]
    .slice(0, max)
    .join('')
    .replaceAll(/[^-_.A-Za-z0-9]/gu, '_')
    .replace(/^[^A-Za-z0-9]+/, '')
    .replace(/[^A-Za-z0-9]+$/, '');
}

/** The name that Nova gives to a port's tap: `tap` and the first eleven characters of the port id. */
export const tapName = (portId: string): string => `tap${portId.slice(0, 11)}`;

/** Whether the kernel accepts this interface name (dev_valid_name): 1 to 15 bytes, no slash, colon or white space, not `.` or `..`. Characters other than printable ASCII are refused too. */
export function isInterfaceName(name: string): boolean {
  return /^[\x21-\x7e]{1,15}$/.test(name) && !/[/:]/.test(name) && name !== '.' && name !== '..';
}

/** A SHA-256 digest of a text as `length` characters of [0-9a-v], for the names of kernel objects that are derived from content. 24 characters carry 120 bits. */
export function shortDigest(text: string, length: number): string {
  const bytes = hash('sha256', text, 'buffer');
  let digest = '';
  let [buffer, bits] = [0, 0];
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      digest += ((buffer >> bits) & 31).toString(32);
    }
    buffer &= (1 << bits) - 1;
    if (digest.length >= length) break;
  }
  return digest.slice(0, length);
}
