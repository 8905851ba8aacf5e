// Watches settings of interfaces that anybody changes under /proc/sys/net. The kernel reports some of them (linux/netconf.h): forwarding, proxies, and reverse-path filters.
import { readAttributes, readI32 } from '../netlink/attributes.ts';
import { familyOfNumber } from '../netlink/family.ts';
import type { NetlinkMonitor, Subscription } from '../netlink/monitor.ts';
import { type NetlinkMessage, netlinkProtocol } from '../netlink/socket.ts';

/** The new values of settings, of one address family, that the kernel reports together. Values that did not change may be among them. */
export type NetconfChange = {
  readonly family: 4 | 6;
  /** The index of the link; `all` and `default` for the settings of these names. */
  readonly link: number | 'all' | 'default';
  readonly forwarding?: number;
  readonly rpFilter?: number;
  /** `proxy_arp` for IPv4, `proxy_ndp` for IPv6. */
  readonly proxy?: number;
};

/** RTM_NEWNETCONF. */
const newNetconf = 80;
/** RTNLGRP_IPV4_NETCONF and RTNLGRP_IPV6_NETCONF. */
const groups = [24, 25];
/** NETCONFA_*. */
const attribute = { link: 1, forwarding: 2, rpFilter: 3, proxy: 5 } as const;
/** NETCONFA_IFINDEX_ALL and _DEFAULT. */
const [all, ofNewLinks] = [-1, -2] as const;

/**
 * Calls back with changes in their order, until closed. `onLost` is called when the kernel had to drop reports.
 * @throws NetlinkError when the kernel refuses the subscription
 */
export function watchNetconf(monitor: NetlinkMonitor, onChanges: (changes: readonly NetconfChange[]) => void, onLost: () => void): Subscription {
  return monitor.subscribe(
    netlinkProtocol.route,
    groups,
    (messages) => {
      const changes = messages.flatMap((message) => readNetconf(message) ?? []);
      if (changes.length > 0) onChanges(changes);
    },
    onLost,
  );
}

/** struct netconfmsg: the family, padded to four bytes. */
function readNetconf({ type, payload }: NetlinkMessage): NetconfChange | undefined {
  const family = familyOfNumber(payload[0] as number);
  if (type !== newNetconf || !family) return undefined;
  const attributes = readAttributes(payload, 4);
  const numberOf = (number: number): number | undefined => {
    const bytes = attributes.get(number);
    return bytes && readI32(bytes);
  };
  const link = numberOf(attribute.link);
  if (link === undefined) return undefined;
  const [forwarding, rpFilter, proxy] = [numberOf(attribute.forwarding), numberOf(attribute.rpFilter), numberOf(attribute.proxy)];
  return {
    family,
    link: link === all ? 'all' : link === ofNewLinks ? 'default' : link,
    ...(forwarding !== undefined && { forwarding }),
    ...(rpFilter !== undefined && { rpFilter }),
    ...(proxy !== undefined && { proxy }),
  };
}
