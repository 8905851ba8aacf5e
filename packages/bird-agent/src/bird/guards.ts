// Which routes may be taken from whom, as tables and functions of BIRD's. The functions never change: a changed import filter would have every neighbour of every host send all it
// has. What changes stands in tables, which BIRD compares entry by entry, and which it looks up at no other time than when a route comes.
import { addressBits, type Cidr, cidrContains, hostCidr, type IpFamily, isHostCidr, parseCidr, prefixLength } from '@calico-openstack/addresses';
import { impossiblePrefixes } from '@calico-openstack/datamodel';
import type { Guards, Trust } from './configuration.ts';

/** The tables are ROA tables (RFC 6483), the only ones that BIRD's filters can look into; what would be an AS number says what an entry is. */
const kinds = { own: 1, ownNetwork: 2, host: 3, moving: 4, inOwnNetwork: 5, workloads: 6 } as const;

/** The route's attribute that says whom it came from. */
const trusts: { readonly [trust in Trust]: number } = { host: 1, external: 2, nextDoor: 3 };

export const admit = (trust: Trust): string => `calico_admit(${trusts[trust]});`;

/** Tables and functions; the same for every host and datastore. */
export function guardFunctions(families: readonly IpFamily[]): readonly string[] {
  return [
    'attribute int calico_trust;',
    ...families.map((family) => `roa${family} table calico_guard${family};`),
    '',
    '# What no route may be for: nowhere, the host itself, its networks; and from other hosts all that no workload can have.',
    'function calico_refused()',
    '{',
    `  if net.len = 0 then return calico_trust = ${trusts.host};`,
    ...families.flatMap((family) => [
      `  if net.type = NET_IP${family} then {`,
      `    if net ~ ${impossibleSet(family)} then return true;`,
      `    if ${isIn(family, 'own')} then return true;`,
      `    if ${isIn(family, 'ownNetwork')} && ! ${isIn(family, 'inOwnNetwork')} then return true;`,
      `    if calico_trust != ${trusts.host} then return false;`,
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

/** Whether next hops may be found by a route of BGP's: only what an external neighbour next door says leads anywhere by itself. */
export const leadsToNextHops = `(source != RTS_BGP || (defined(calico_trust) && calico_trust = ${trusts.nextDoor}))`;

/** What the family's table holds. */
export function guardEntries(family: IpFamily, { own, networks, hosts, moving, workloads }: Guards): readonly string[] {
  const bits = addressBits(family);
  const entries = new Set<string>();
  const add = (cidr: Cidr, most: number, kind: keyof typeof kinds): void => {
    entries.add(`  route ${cidr} max ${most} as ${kinds[kind]};`);
  };
  for (const address of own) add(hostCidr(address), bits, 'own');
  for (const network of networks) add(network, bits, 'ownNetwork');
  for (const address of hosts) add(hostCidr(address), bits, 'host');
  for (const cidr of moving) add(cidr, prefixLength(cidr), 'moving');
  for (const prefix of workloads) {
    add(prefix, bits, 'workloads');
    if (networks.some((network) => network !== prefix && cidrContains(network, prefix))) add(prefix, bits, 'inOwnNetwork');
    if (isHostCidr(prefix)) continue;
    for (const guarded of [...own.map(hostCidr), ...networks, ...hosts.map(hostCidr)])
      if (cidrContains(prefix, guarded)) for (const cover of coversOf(guarded, prefixLength(prefix))) add(cover, prefixLength(cover), 'host');
  }
  return [`protocol static calico_guards${family}`, '{', `  roa${family} { table calico_guard${family}; };`, ...entries, '}', ''];
}

/** The prefixes of `least` bits and more that hold `cidr` and are not it. */
function coversOf(cidr: Cidr, least: number): readonly Cidr[] {
  const address = cidr.slice(0, cidr.indexOf('/'));
  return Array.from({ length: prefixLength(cidr) - least }, (_, index) => parseCidr(`${address}/${least + index}`)!);
}
