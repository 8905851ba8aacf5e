// Router advertisements (RFC 4861, RFC 8106) for one port. Pure.
import { addressBytes, cidrRange, prefixLength } from '@calico-openstack/addresses';
import { domainBytes } from '../service/extra-options.ts';
import type { Ipv6Service } from '../service/service.ts';

/** ICMPv6 types (RFC 4861 4). */
export const icmpType = { routerSolicitation: 133, routerAdvertisement: 134 } as const;

/** The router lifetime, the longest that RFC 4861 6.2.1 allows. While the agent does not run, nothing is advertised, so the lifetime must outlast a restart. */
const routerSeconds = 9000;
/** The lifetimes of prefixes: RFC 4861's defaults, with AdvValidLifetime shortened to a day like Neutron's routers do, so that a guest does not keep an address for a month that its port has lost. */
const [validSeconds, preferredSeconds] = [86_400, 14_400] as const;
/** The lifetime of name servers. RFC 8106 5.1 requires at least the longest time between advertisements. */
const dnsSeconds = 9000;

const [managed, otherConfiguration] = [0x80, 0x40] as const;
const autonomousFlag = 0x40;
const option = { sourceMac: 1, prefix: 3, mtu: 5, dnsServers: 25, domains: 31 } as const;

/**
 * The ICMPv6 message with the advertisement for a port. No prefix is on-link, so guests send everything to the host, which routes it.
 * @param mac six bytes, the tap's own
 */
export function routerAdvertisement({ autonomous, dhcp, mtuBytes, dnsServers, domain }: Ipv6Service, mac: Uint8Array): Uint8Array {
  const flags = dhcp === 'stateful' ? managed | otherConfiguration : dhcp === 'stateless' ? otherConfiguration : 0;
  const head = Uint8Array.of(icmpType.routerAdvertisement, 0, 0, 0, 64, flags, routerSeconds >> 8, routerSeconds & 255, 0, 0, 0, 0, 0, 0, 0, 0);
  return Buffer.concat([
    head,
    optionOf(option.sourceMac, mac),
    optionOf(option.mtu, Buffer.concat([new Uint8Array(2), u32(mtuBytes)])),
    ...autonomous.map((cidr) =>
      optionOf(
        option.prefix,
        Buffer.concat([Uint8Array.of(prefixLength(cidr), autonomousFlag), u32(validSeconds), u32(preferredSeconds), u32(0), cidrRange(cidr).first]),
      ),
    ),
    ...(dnsServers.length > 0
      ? [optionOf(option.dnsServers, Buffer.concat([new Uint8Array(2), u32(dnsSeconds), ...dnsServers.map((address) => addressBytes(address))]))]
      : []),
    ...(domain === undefined ? [] : [optionOf(option.domains, Buffer.concat([new Uint8Array(2), u32(dnsSeconds), domainBytes(domain)]))]),
  ]);
}

/** An option: type, length in units of eight bytes, value, padded with zeros. */
function optionOf(type: number, value: Uint8Array): Uint8Array {
  const units = Math.ceil((value.length + 2) / 8);
  const bytes = new Uint8Array(8 * units);
  bytes.set([type, units]);
  bytes.set(value, 2);
  return bytes;
}

const u32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
