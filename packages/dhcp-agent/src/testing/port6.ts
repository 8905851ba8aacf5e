// A port's IPv6 service for tests.
import type { Ipv6Service } from '../service/service.ts';
import { ip } from './facts.ts';

/** A stateful port with one address, except for the given fields. */
export const port6 = (some: Partial<Ipv6Service> = {}): Ipv6Service => ({
  family: 6,
  mac: 'fa:16:3e:00:00:01',
  addresses: [ip('2001:db8:a::11')],
  leases: [ip('2001:db8:a::11')],
  autonomous: [],
  dhcp: 'stateful',
  serverAddresses: [{ address: ip('2001:db8:a::1'), prefixLength: 128 }],
  mtuBytes: 1500,
  dnsServers: [ip('2001:db8::53')],
  domain: 'cloud.example',
  options: [],
  ...some,
});
