// Parses the lease of a VM's DHCP client, as the client's script wrote it down. Pure.

/** A DHCP lease. */
export type Lease = {
  /** The event that the client last reported: `bound`, `renew`, `nak`, … of udhcpc; `BOUND6`, … of dhclient. */
  readonly event: string;
  readonly address: string;
  readonly prefixBits: number;
  readonly routers: readonly string[];
  readonly dnsServers: readonly string[];
  readonly mtuBytes: number | undefined;
  readonly staticRoutes: readonly { readonly destination: string; readonly gateway: string }[];
  readonly leaseSeconds: number;
  readonly server: string | undefined;
  readonly hostname: string | undefined;
  readonly domain: string | undefined;
};

/** Parses lines of `name=value`. */
export function parseLease(text: string): Lease {
  const values = new Map(
    text.split('\n').flatMap((line) => {
      const equals = line.indexOf('=');
      return equals < 0 ? [] : [[line.slice(0, equals), line.slice(equals + 1).trim()] as const];
    }),
  );
  const given = (name: string): string | undefined => values.get(name) || undefined;
  const words = (name: string): string[] => (values.get(name) ?? '').split(' ').filter((word) => word !== '');
  const routes = words('staticroutes');
  return {
    event: values.get('event') ?? '',
    address: values.get('ip') ?? '',
    prefixBits: Number(values.get('mask') ?? 0),
    routers: words('router'),
    dnsServers: words('dns'),
    mtuBytes: given('mtu') === undefined ? undefined : Number(values.get('mtu')),
    staticRoutes: routes.flatMap((destination, index) => (index % 2 === 0 ? [{ destination, gateway: routes[index + 1] ?? '' }] : [])),
    leaseSeconds: Number(values.get('lease') ?? 0),
    server: given('serverid'),
    hostname: given('hostname'),
    domain: given('domain'),
  };
}
