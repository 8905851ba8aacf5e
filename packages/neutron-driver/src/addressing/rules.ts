// The rules for which addresses a tenant's subnets, ports and address pairs may not have in a routed cloud, where all addresses form one flat space. Pure.
import { type Cidr, hostCidr, type IpAddress, isHostCidr, parseAddress, parseCidr } from '@calico-openstack/addresses';
import { impossibleForHosts } from '@calico-openstack/datamodel';
import type { HeldAddress, Infrastructure } from './infrastructure.ts';
import { covers, meets, rangeSpan, type Span, spanOf } from './span.ts';

/** The operator's options in [calico]. */
export type AddressPolicy = {
  /** The fabric's prefixes, in which no subnet may be created. */
  readonly reservedPrefixes: readonly Cidr[];
  /** Who may create subnets in reserved prefixes, and around the cloud's own addresses. */
  readonly reservedPrefixSubnets: 'nobody' | 'administrators';
  /** What happens to a subnet that overlaps another one. */
  readonly addressOverlaps: 'refuse' | 'warn';
  /** Where address pairs may lie, in addition to the subnets of their port's network. */
  readonly addressPairPrefixes: readonly Cidr[];
};

/** The policy without options. */
export const defaultAddressPolicy: AddressPolicy = {
  reservedPrefixes: [],
  reservedPrefixSubnets: 'nobody',
  addressOverlaps: 'refuse',
  addressPairPrefixes: [],
};

/** What addresses are checked against. */
export type AddressRules = { readonly policy: AddressPolicy; readonly infrastructure: Infrastructure };

/** Why something is refused. `text` is a sentence without a full stop for the API's user; `which` has details for the log only. */
export type Obstacle = { readonly kind: 'overlap' | 'forbidden'; readonly text: string; readonly which?: string };

const forbidden = (text: string, which?: string): Obstacle => ({ kind: 'forbidden', text, ...(which !== undefined && { which }) });

/** An existing or requested subnet. */
export type SubnetPlace = { readonly id: string; readonly cidr: string; readonly gatewayIp: string | undefined };
/** A requested subnet with its allocation pools. */
export type SubnetAsked = SubnetPlace & { readonly pools: readonly { readonly start: string; readonly end: string }[] };
/** The parts of a subnet that are new. */
export type SubnetParts = { readonly prefix: boolean; readonly gateway: boolean; readonly pools: boolean };
/** All parts, for a subnet that is created. */
export const wholeSubnet: SubnetParts = { prefix: true, gateway: true, pools: true };

/** Whether a gateway is link-local, which is allowed: IPv6 routers are known by such addresses (RFC 4861), and gateways need no route. */
const isLinkLocal6 = (address: IpAddress): boolean => /^fe[89ab]/.test(address);

/** Why there must be no such subnet. `mayShare`: the caller is an administrator, and the operator lets administrators use reserved prefixes. */
export function subnetObstacles(
  subnet: SubnetAsked,
  parts: SubnetParts,
  others: readonly SubnetPlace[],
  rules: AddressRules,
  mayShare: boolean,
): readonly Obstacle[] {
  const cidr = parseCidr(subnet.cidr);
  if (!cidr) return [forbidden(`the subnet's prefix ${subnet.cidr} is none`)];
  const obstacles: Obstacle[] = [];
  const span = spanOf(cidr);
  if (parts.prefix) {
    obstacles.push(...placeObstacles(`the subnet's prefix ${cidr}`, cidr, rules, mayShare));
    obstacles.push(...overlapObstacles(`the subnet's prefix ${cidr}`, span, subnet.id, others, true));
  }
  const gateway = subnet.gatewayIp === undefined ? undefined : parseAddress(subnet.gatewayIp);
  if (parts.gateway && subnet.gatewayIp !== undefined && !gateway) obstacles.push(forbidden(noAddress(`the subnet's gateway ${subnet.gatewayIp}`)));
  if (parts.gateway && gateway && !isLinkLocal6(gateway)) {
    const gatewayCidr = hostCidr(gateway);
    const gatewaySpan = spanOf(gatewayCidr);
    const name = `the subnet's gateway ${gateway}`;
    if (covers(span, gatewaySpan)) obstacles.push(...heldObstacles(name, gatewaySpan, rules));
    else {
      obstacles.push(...placeObstacles(name, gatewayCidr, rules, mayShare), ...(mayShare ? heldObstacles(name, gatewaySpan, rules) : []));
      obstacles.push(...overlapObstacles(name, gatewaySpan, subnet.id, others, false));
    }
  }
  if (parts.pools) {
    for (const { start, end } of subnet.pools) {
      const [first, last] = [parseAddress(start), parseAddress(end)];
      if (first && last) obstacles.push(...heldObstacles(`the subnet's allocation pool ${first}-${last}`, rangeSpan(first, last), rules));
    }
  }
  return [...new Map(obstacles.map((obstacle) => [obstacle.text, obstacle])).values()];
}

/** The refusal of a text that is no usable address. Neutron accepts IPv4-mapped addresses (RFC 4291, 2.5.5.2), but one address must not have two families. */
const noAddress = (name: string): string => `${name} is no address that a host can have`;

/** Obstacles to a prefix: addresses that no host can have, the operator's reserved prefixes, the cloud's own addresses. */
function placeObstacles(name: string, cidr: Cidr, rules: AddressRules, mayShare: boolean): Obstacle[] {
  const impossible = impossibleForHosts(cidr);
  if (impossible !== undefined) return [forbidden(`${name} overlaps ${impossible}, which no host can have`)];
  if (mayShare) return [];
  const span = spanOf(cidr);
  const reserved = rules.policy.reservedPrefixes.find((prefix) => meets(spanOf(prefix), span));
  if (reserved !== undefined) return [forbidden(`${name} overlaps ${reserved}, which is reserved for the cloud itself`)];
  return heldObstacles(name, span, rules);
}

function heldObstacles(name: string, span: Span, { infrastructure }: AddressRules): Obstacle[] {
  const held = infrastructure.within(span);
  return held ? [forbidden(heldText(name, span, held), held.which)] : [];
}

const heldText = (name: string, span: Span, held: HeldAddress): string =>
  span.first === span.last ? `${name} is ${held.what}` : `${name} holds ${held.address}, ${held.what}`;

/** Overlaps with other subnets. A prefix must not contain another subnet's gateway either, which may lie outside of its own subnet. */
function overlapObstacles(name: string, span: Span, id: string, others: readonly SubnetPlace[], withGateways: boolean): Obstacle[] {
  for (const other of others) {
    if (other.id === id) continue;
    const cidr = parseCidr(other.cidr);
    if (cidr && meets(spanOf(cidr), span)) return [{ kind: 'overlap', text: `${name} overlaps ${cidr}, another subnet's prefix`, which: `subnet ${other.id}` }];
    const gateway = withGateways && other.gatewayIp !== undefined ? parseAddress(other.gatewayIp) : undefined;
    if (gateway && !isLinkLocal6(gateway) && meets(spanOf(hostCidr(gateway)), span))
      return [{ kind: 'overlap', text: `${name} overlaps ${gateway}, another subnet's gateway`, which: `subnet ${other.id}` }];
  }
  return [];
}

/** The subnets of a port's network. */
export type NetworkPlace = readonly { readonly cidr: string; readonly gatewayIp: string | undefined }[];

/** Why a port must not have this allowed address pair; undefined when it may. */
export function pairObstacle(pair: string, network: NetworkPlace, rules: AddressRules): string | undefined {
  const name = `the allowed address pair ${pair}`;
  const cidr = parseCidr(pair);
  if (!cidr) return `${name} is neither an address nor a prefix`;
  const impossible = impossibleForHosts(cidr);
  if (impossible !== undefined) return `${name} overlaps ${impossible}, which no host can have`;
  const span = spanOf(cidr);
  const [held] = heldObstacles(name, span, rules);
  if (held) return held.text;
  // A prefix that contains the gateway is legitimate, for a tenant's own router behind the port: the host itself answers for the gateway's address.
  if (isHostCidr(cidr) && network.some(({ gatewayIp }) => gatewayIp !== undefined && parseCidr(gatewayIp) === cidr)) return `${name} is the network's gateway`;
  const places = [...prefixesOf(network), ...rules.policy.addressPairPrefixes];
  if (places.some((place) => covers(spanOf(place), span))) return undefined;
  const where = prefixesOf(network);
  return `${name} lies outside of the network's subnets${where.length === 0 ? ': it has none' : ` (${where.slice(0, 5).join(', ')}${where.length > 5 ? ', …' : ''})`}`;
}

const prefixesOf = (network: NetworkPlace): readonly Cidr[] => network.flatMap(({ cidr }) => parseCidr(cidr) ?? []);

/** The prefixes that a port without port security may use: its network's subnets, and those where the operator allows pairs. A prefix that contains an address of the cloud's own is left out. */
export function unprotectedPrefixes(network: NetworkPlace, rules: AddressRules): { readonly prefixes: readonly Cidr[]; readonly leftOut: readonly string[] } {
  const [prefixes, leftOut] = [new Set<Cidr>(), new Set<string>()];
  for (const prefix of [...prefixesOf(network), ...rules.policy.addressPairPrefixes]) {
    const [obstacle] = placeObstacles(`the prefix ${prefix}`, prefix, { ...rules, policy: { ...rules.policy, reservedPrefixes: [] } }, false);
    if (obstacle) leftOut.add(obstacle.text);
    else prefixes.add(prefix);
  }
  return { prefixes: [...prefixes].sort(), leftOut: [...leftOut] };
}

/** Why no port may have this fixed address; undefined when one may. */
export function fixedAddressObstacle(address: string, rules: AddressRules): string | undefined {
  const parsed = parseAddress(address);
  if (!parsed) return noAddress(`the address ${address}`);
  const held = rules.infrastructure.at(parsed);
  if (held) return `the address ${parsed} is ${held.what}`;
  const impossible = impossibleForHosts(parsed);
  return impossible === undefined ? undefined : `the address ${parsed} lies in ${impossible}, which no host can have`;
}

/** Why a subnet must not have this gateway; undefined when it may. */
export function gatewayObstacle(gateway: string, rules: AddressRules): string | undefined {
  const parsed = parseAddress(gateway);
  if (!parsed) return noAddress(`the gateway ${gateway}`);
  return isLinkLocal6(parsed) ? undefined : fixedAddressObstacle(parsed, rules)?.replace('the address', 'the gateway');
}
