// Parsers for the values in BGP's resources. Values enter the room only through them, so the rest of the room can print them for BIRD unchanged.
import { addressBytes, type Cidr, familyOf, type IpAddress, type IpFamily, parseAddress, parseCidr } from '@calico-openstack/addresses';
import { decoded, type Fields, isFields, refused } from '@calico-openstack/datamodel';
import { integer, type Parse, shown } from './fields.ts';

const decimal = /^(?:0|[1-9][0-9]{0,9})$/;

/** Parses a decimal number up to `most`. */
function number(digits: string | undefined, most: number): number | undefined {
  if (digits === undefined || !decimal.test(digits)) return undefined;
  const value = Number(digits);
  return value <= most ? value : undefined;
}

const mostAs = 2 ** 32 - 1;

/** An AS number: a number, its decimal text, or `high.low` (RFC 5396). 0 is reserved (RFC 7607). */
export const asNumber: Parse<number> = (value) => {
  if (typeof value === 'number') return integer(1, mostAs)(value);
  if (typeof value !== 'string') return refused(`${shown(value)} is not an AS number`);
  const [high, low, more] = value.split('.');
  const upper = low === undefined ? 0 : number(high, 65535);
  const lower = low === undefined ? number(high, mostAs) : number(low, 65535);
  if (more !== undefined || upper === undefined || lower === undefined || upper * 65536 + lower === 0)
    return refused(`${shown(value)} is not an AS number from 1 to ${mostAs}`);
  return decoded(upper * 65536 + lower);
};

/** A TCP port. */
export const port: Parse<number> = integer(1, 65535);

/** An address that a BGP speaker can use: not unspecified, loopback, multicast, broadcast or link-local (a link-local one would need an interface). */
export const speakerAddress: Parse<IpAddress> = (value) => {
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (!address) return refused(`${shown(value)} is not an IP address`);
  const bytes = addressBytes(address);
  const unusable = familyOf(address) === 4 ? unusable4(bytes) : unusable6(address, bytes);
  return unusable ? refused(`${address} is ${unusable}: no BGP session can use it`) : decoded(address);
};

function unusable4([first = 0, second = 0]: Uint8Array): string | undefined {
  if (first === 0) return 'an unspecified address';
  if (first === 127) return 'a loopback address';
  if (first === 169 && second === 254) return 'a link-local address';
  return first >= 224 ? 'a multicast or reserved address' : undefined;
}

function unusable6(address: IpAddress, [first = 0, second = 0]: Uint8Array): string | undefined {
  if (address === '::' || address === '::1') return 'an unspecified or loopback address';
  if (first === 0xff) return 'a multicast address';
  return first === 0xfe && (second & 0xc0) === 0x80 ? 'a link-local address' : undefined;
}

/** A neighbour's address. `port` is undefined when the port on which the neighbour listens applies. */
export type Neighbor = { readonly address: IpAddress; readonly port: number | undefined };

/** Parses `address`, `IPv4:port` or `[IPv6]:port`. */
export const neighbor: Parse<Neighbor> = (value) => {
  if (typeof value !== 'string') return refused(`${shown(value)} is not an IP address with an optional port`);
  const split = /^\[([^\]]*)\]:(.*)$/.exec(value) ?? /^([^:]*):([^:]*)$/.exec(value);
  const address = speakerAddress(split ? split[1] : value);
  if (!address.ok) return address;
  const parsedPort = split && number(split[2], 65535);
  if (split && !parsedPort) return refused(`${shown(value)} has no port from 1 to 65535 behind its address`);
  return decoded({ address: address.value, port: parsedPort || undefined });
};

/** A host's address and its network. */
export type InterfaceAddress = {
  readonly address: IpAddress;
  /** The network in which the address lies; without a prefix length, the address alone. */
  readonly network: Cidr;
};

/** A host's own address in a family, with or without a prefix length. */
export const interfaceAddress =
  (family: IpFamily): Parse<InterfaceAddress> =>
  (value) => {
    const network = typeof value === 'string' ? parseCidr(value) : undefined;
    if (!network || familyOf(network) !== family) return refused(`${shown(value)} is not an IPv${family} address with an optional prefix length`);
    const address = speakerAddress((value as string).split('/')[0]);
    return address.ok ? decoded({ address: address.value, network }) : address;
  };

/** A prefix, of one family if given. */
export const cidr =
  (family?: IpFamily): Parse<Cidr> =>
  (value) => {
    const parsed = typeof value === 'string' ? parseCidr(value) : undefined;
    return parsed && (family === undefined || familyOf(parsed) === family) ? decoded(parsed) : refused(`${shown(value)} is not an IP${family ?? ''} prefix`);
  };

/** The id of a route reflector's cluster: written as an IPv4 address, but only an identifier (RFC 4456). */
export const clusterId: Parse<IpAddress> = (value) => {
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  return address && familyOf(address) === 4 ? decoded(address) : refused(`${shown(value)} is not a cluster id in the form of an IPv4 address`);
};

/** A standard community (RFC 1997) has two parts, a large one (RFC 8092) three. */
export type Community = readonly [number, number] | readonly [number, number, number];

/** A community as text: "a:b" or "a:b:c". */
export const community: Parse<Community> = (value) => {
  const parts = typeof value === 'string' ? value.split(':') : [];
  const [first, second, third] = parts.map((part) => number(part, parts.length === 2 ? 65535 : mostAs));
  if (first !== undefined && second !== undefined) {
    if (parts.length === 2) return decoded([first, second]);
    if (parts.length === 3 && third !== undefined) return decoded([first, second, third]);
  }
  return refused(`${shown(value)} is not a community "a:b" (16 bits each) or "a:b:c" (32 bits each)`);
};

/** A pattern of interface names, with `*` for any text, limited as in Calico's API, so that it cannot end a string of BIRD's. */
export const interfacePattern: Parse<string> = (value) =>
  typeof value === 'string' && /^[A-Za-z0-9_.*-]{1,15}$/.test(value)
    ? decoded(value)
    : refused(`${shown(value)} is not the pattern of an interface's name (1 to 15 of A-Z a-z 0-9 _ . * -)`);

const unitSeconds: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, μs: 1e-6, ns: 1e-9 };

/** A duration as Go writes it (`2m0s`), rounded to whole seconds. */
export const durationSeconds =
  (least: number, most: number): Parse<number> =>
  (value) => {
    const parts = typeof value === 'string' && value.length <= 40 ? [...value.matchAll(/([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|μs|ns)/g)] : [];
    if (value === '0') return integer(least, most)(0);
    if (parts.length === 0 || parts.map(([part]) => part).join('') !== value) return refused(`${shown(value)} is not a duration such as "2m0s"`);
    const seconds = Math.round(parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitSeconds[unit!]!, 0));
    return seconds >= least && seconds <= most ? decoded(seconds) : refused(`${shown(value)} is not between ${least} s and ${most} s`);
  };

/** A graceful restart time, which has 12 bits (RFC 4724). */
export const restartSeconds = durationSeconds(0, 4095);

/** A reference to a password in the password file: section `name`, option `key`. */
export type SecretRef = { readonly name: string; readonly key: string };

/** Parses `{"secretKeyRef": {"name", "key"}}` and refuses anything else: a session must not come up without the password that it should have. */
export const password: Parse<SecretRef> = (value) => {
  const reference = isFields(value) ? value['secretKeyRef'] : undefined;
  const { name, key } = isFields(reference) ? reference : ({} as Fields);
  return typeof name === 'string' && typeof key === 'string' && name !== '' && key !== ''
    ? decoded({ name, key })
    : refused('is not {"secretKeyRef": {"name": ..., "key": ...}}');
};

/** The annotation that requests BFD (RFC 5880), for which Calico's API has no field. */
export const bfdAnnotation = 'openstack.projectcalico.org/bfd';

/** Whether the annotation requests BFD: on a BGPPeer for its sessions, on BGPConfiguration `default` for the mesh. */
export const wantsBfd = (annotations: Readonly<Record<string, string>>): boolean => annotations[bfdAnnotation] === 'true';
