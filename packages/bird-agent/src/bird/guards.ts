// Decides which routes are accepted from which neighbours, with tables and functions of BIRD's. The functions never change, because a changed import filter would make every neighbour of every
// host send all its routes again. Everything that changes is in tables, which BIRD compares entry by entry, and looks up only when a route arrives.
import {
  addressBits,
  addressBytes,
  addressOf,
  type Cidr,
  cidrContains,
  hostCidr,
  type IpAddress,
  type IpFamily,
  isHostCidr,
  parseCidr,
  prefixLength,
  splitCidr,
} from '@calico-openstack/addresses';
import { impossiblePrefixes } from '@calico-openstack/datamodel';
import { keptRuns } from '../kept.ts';
import type { Guards, Trust } from './configuration.ts';
import { partOf, partOfText, type TextPart } from './text.ts';

/** The kinds of entries. The tables are ROA tables (RFC 6483), the only ones that BIRD's filters can look into; the kind takes the place of the AS number. */
const kinds = { own: 1, ownNetwork: 2, host: 3, moving: 4, inOwnNetwork: 5, workloads: 6 } as const;

/** The values of the route attribute that says how far its neighbour is trusted. */
const trusts: { readonly [trust in Trust]: number } = { host: 1, external: 2, nextDoor: 3, workload: 4 };

/** A condition for routes from a host of the cluster, or from a workload of this host. */
const isOurs = `(calico_trust = ${trusts.host} || calico_trust = ${trusts.workload})`;

/** The first statement of an import filter: it rejects routes that the neighbour may not announce. */
export const admit = (trust: Trust): string => `calico_admit(${trusts[trust]});`;

/** The tables and functions, which are the same on every host. */
export function guardFunctions(families: readonly IpFamily[]): readonly string[] {
  return [
    'attribute int calico_trust;',
    ...families.map((family) => `roa${family} table calico_guard${family};`),
    '',
    '# What no route may be for: nowhere, the host itself, its networks; and from other hosts all that no workload can have.',
    'function calico_refused()',
    '{',
    `  if net.len = 0 then return ${isOurs};`,
    ...families.flatMap((family) => [
      `  if net.type = NET_IP${family} then {`,
      `    if net ~ ${impossibleSet(family)} then return true;`,
      `    if ${isIn(family, 'own')} then return true;`,
      `    if ${isIn(family, 'ownNetwork')} && ! ${isIn(family, 'inOwnNetwork')} then return true;`,
      `    if ! ${isOurs} then return false;`,
      `    if net.len < ${addressBits(family)} && ! ${isIn(family, 'workloads')} then return true;`,
      `    return ${isIn(family, 'host')};`,
      '  }',
    ]),
    '  return true;',
    '}',
    '',
    'function calico_admit(int trust)',
    '{',
    '  calico_trust = trust;',
    '  if calico_refused() then reject;',
    '}',
    '',
    '# The workload is moving, and its tap here may be the one that it leaves.',
    'function calico_moving()',
    '{',
    ...families.map((family) => `  if net.type = NET_IP${family} then return ${isIn(family, 'moving')};`),
    '  return false;',
    '}',
    '',
    '# A kernel route of this host that nobody must hear of, whoever made it.',
    'function calico_concealed()',
    '{',
    ...families.map(
      (family) => `  if net.type = NET_IP${family} then return net ~ ${impossibleSet(family)} || ${isIn(family, 'own')} || ${isIn(family, 'host')};`,
    ),
    '  return true;',
    '}',
    '',
    ...families.flatMap((family) => [
      `function calico_concealed_network${family}()`,
      '{',
      `  return ${isIn(family, 'ownNetwork')} && ! ${isIn(family, 'inOwnNetwork')};`,
      '}',
      '',
    ]),
  ];
}

const isIn = (family: IpFamily, kind: keyof typeof kinds): string => `(roa_check(calico_guard${family}, net, ${kinds[kind]}) = ROA_VALID)`;

const impossibleSet = (family: IpFamily): string =>
  `[ ${impossiblePrefixes
    .filter((prefix) => prefix.includes(':') === (family === 6))
    .map((prefix) => `${prefix}+`)
    .join(', ')} ]`;

/** A condition for routes that may resolve next hops: of BGP's routes, only those of an external neighbour next door. */
export const leadsToNextHops = `(source != RTS_BGP || (defined(calico_trust) && calico_trust = ${trusts.nextDoor}))`;

/** Whether a workload of this host has announced the route. */
export const isFromWorkload = `(defined(calico_trust) && calico_trust = ${trusts.workload})`;

/** Prints a family's table. */
export type GuardPrinter = (guards: Guards) => readonly TextPart[];

/** Creates a printer that remembers what it has printed of the other hosts' addresses, of which there are thousands. */
export function createGuardPrinter(family: IpFamily): GuardPrinter {
  const bits = addressBits(family);
  const keptHosts = keptRuns<IpAddress, GuardedHost, GuardedRun>((address) => address);
  return ({ own, networks, hosts, moving, workloads }) => {
    const prefixes = workloads.filter((prefix) => !isHostCidr(prefix));
    const outer = prefixes.map(splitCidr);
    const runs = keptHosts(
      hosts,
      prefixes.join(' '),
      (address) => ({ line: `${entry(hostCidr(address), bits, 'host')}\n`, covers: coversIn(outer, hostCidr(address)) }),
      (made) => ({ part: partOfText(made.map(({ line }) => line).join('')), covers: made.flatMap(({ covers }) => covers) }),
    );
    const covers = new Set([...own.map(hostCidr), ...networks].flatMap((cidr) => coversIn(outer, cidr)).concat(...runs.map((run) => run.covers)));
    const isInNetwork = (prefix: Cidr): boolean => networks.some((network) => network !== prefix && cidrContains(network, prefix));
    const entries = new Set([
      ...own.map((address) => entry(hostCidr(address), bits, 'own')),
      ...networks.map((network) => entry(network, bits, 'ownNetwork')),
      ...moving.map((cidr) => entry(cidr, prefixLength(cidr), 'moving')),
      ...workloads.map((prefix) => entry(prefix, bits, 'workloads')),
      ...workloads.filter(isInNetwork).map((prefix) => entry(prefix, bits, 'inOwnNetwork')),
      ...[...covers].map((cover) => entry(cover, prefixLength(cover), 'host')),
    ]);
    const beginning = [`protocol static calico_guards${family}`, '{', `  roa${family} { table calico_guard${family}; };`];
    return [partOf([...beginning, ...entries]), ...runs.map(({ part }) => part), partOf(['}', ''])];
  };
}

const entry = (cidr: Cidr, most: number, kind: keyof typeof kinds): string => `  route ${cidr} max ${most} as ${kinds[kind]};`;

type GuardedHost = { readonly line: string; readonly covers: readonly Cidr[] };
type GuardedRun = { readonly part: TextPart; readonly covers: readonly Cidr[] };
type Outer = { readonly bytes: Uint8Array; readonly length: number };

/** The prefixes inside workloads' prefixes that contain this address or network. A host that announced one of them would take the address over. */
function coversIn(outer: readonly Outer[], inner: Cidr): readonly Cidr[] {
  if (outer.length === 0) return [];
  const bytes = addressBytes(addressOf(inner));
  return outer
    .filter(({ bytes: beginning, length }) => length <= prefixLength(inner) && beginsWith(bytes, beginning, length))
    .flatMap(({ length }) => coversOf(inner, length));
}

/** Whether the first `length` bits of an address are those of another. */
const beginsWith = (bytes: Uint8Array, beginning: Uint8Array, length: number): boolean =>
  bytes.every((byte, index) => ((byte ^ beginning[index]!) & (0xff00 >> Math.min(8, Math.max(0, length - index * 8))) & 0xff) === 0);

/** The prefixes of at least `least` bits that contain `cidr` and are not `cidr` itself. */
function coversOf(cidr: Cidr, least: number): readonly Cidr[] {
  const address = cidr.slice(0, cidr.indexOf('/'));
  return Array.from({ length: prefixLength(cidr) - least }, (_, index) => parseCidr(`${address}/${least + index}`)!);
}
