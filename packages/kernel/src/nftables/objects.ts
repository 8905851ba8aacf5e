// nftables objects as values: they say what the kernel is to hold, and print as nft text (print.ts). No I/O.

export type TableFamily = 'inet' | 'ip' | 'ip6' | 'arp' | 'netdev';

/** What a field or a set's key holds; decides its width and how it prints (types.ts). Names are nft's own. */
export type DataType =
  | 'ipv4_addr' // 4 bytes
  | 'ipv6_addr' // 16
  | 'ether_addr' // 6
  | 'inet_proto' // 1
  | 'inet_service' // 2, network order
  | 'ifname' // 16, zero-padded
  | 'icmp_type' // 1
  | 'icmp_code' // 1
  | 'icmpv6_type' // 1
  | 'icmpv6_code' // 1
  | 'mark' // 4, host order
  | 'iface_index' // 4, host order
  | 'iface_type' // 2, host order
  | 'nf_proto' // 1
  | 'ether_type' // 2, network order
  | 'ct_state' // 4, host order
  | 'ct_status' // 4, host order
  | 'ct_dir' // 1
  | 'fib_addrtype' // 4, host order
  | 'arp_op'; // 2, network order

/** Something that a packet has. Names are nft's own. */
export type Field =
  | 'meta iifname'
  | 'meta oifname'
  | 'meta iif' // 0: the host's own packet
  | 'meta iiftype'
  | 'meta l4proto'
  | 'meta nfproto'
  | 'meta protocol'
  | 'meta mark'
  | 'ct state'
  | 'ct mark'
  | 'ct status'
  | 'ct direction'
  | 'ct original ip saddr'
  | 'ct original ip daddr'
  | 'ct original ip6 saddr'
  | 'ct original ip6 daddr'
  | 'ct reply ip saddr'
  | 'ct reply ip6 saddr'
  | 'ether saddr'
  | 'ether daddr'
  | 'ether type'
  | 'ip saddr'
  | 'ip daddr'
  | 'ip protocol'
  | 'ip6 saddr'
  | 'ip6 daddr'
  | 'ip6 hoplimit'
  | 'th sport' // tcp, udp, dccp, sctp, udplite: first four bytes of the transport header; the rule must have matched one of them (meta l4proto)
  | 'th dport'
  | 'icmp type' // first byte of the transport header; IPv4 and l4proto 1 are matched without the rule saying so
  | 'icmp code'
  | 'icmpv6 type'
  | 'icmpv6 code'
  | 'dhcp giaddr' // BOOTP's relay address, in UDP: 4 bytes at 32; the rule must have matched UDP and the port, here and in the next three
  | 'dhcp chaddr' // BOOTP's client hardware address: 6 bytes at 36
  | 'dhcp first option' // code, length and first byte of what stands behind DHCP's cookie: 3 bytes at 248
  | 'dhcp6 type' // DHCPv6's message type: 1 byte at 8
  | 'nd target' // neighbour solicitation and advertisement: 16 bytes at 8; the rule must have matched the icmpv6 type
  | 'arp operation' // 2 bytes at 6
  | 'arp saddr ether'
  | 'arp saddr ip'
  | 'arp daddr ether'
  | 'arp daddr ip'
  | 'fib saddr . iif oif' // 4 bytes, 0: no route back through the input interface
  | 'fib saddr . mark . iif oif'
  | 'fib daddr type'; // 4 bytes, RTN_*

export type Verdict = { readonly verdict: 'accept' | 'drop' | 'return' | 'continue' } | { readonly verdict: 'jump' | 'goto'; readonly chain: string };

/** Addresses, ports and so on are given as the bytes that the field holds (network order where the field's type says so). */
export type Statement =
  | { readonly is: 'match'; readonly field: Field; readonly negate?: boolean; readonly value: Uint8Array }
  /** (field & mask) == value, or != */
  | { readonly is: 'masked'; readonly field: Field; readonly negate?: boolean; readonly mask: Uint8Array; readonly value: Uint8Array }
  /** first <= field <= last, or not */
  | { readonly is: 'range'; readonly field: Field; readonly negate?: boolean; readonly first: Uint8Array; readonly last: Uint8Array }
  /** The concatenation of the fields is in the set (or is not). */
  | { readonly is: 'in-set'; readonly fields: readonly Field[]; readonly negate?: boolean; readonly set: string }
  /** The verdict that the map has for the concatenation of the fields; goes on where it has none. */
  /**
   * … or, with `via`, for the mark that the data map `via` has for it (`map` has marks as keys): elements of `via` carry no verdict, so that changing them makes the
   * kernel walk no chains. The packet's own mark is not changed.
   */
  | { readonly is: 'verdict-map'; readonly fields: readonly Field[]; readonly via?: string; readonly map: string }
  | { readonly is: 'counter' }
  | { readonly is: 'log'; readonly prefix: string }
  /** At most `rate` a unit, beyond that the rule does not match (over: it matches only then). */
  | {
      readonly is: 'limit';
      readonly rate: number;
      readonly unit: 'second' | 'minute' | 'hour' | 'day';
      readonly burst: number;
      readonly over?: boolean;
      readonly of?: 'packets' | 'bytes';
    }
  /** More than `count` connections (over). */
  | { readonly is: 'connections-over'; readonly count: number }
  /** mark = (mark & and) ^ xor */
  | { readonly is: 'set-mark'; readonly of: 'packet' | 'connection'; readonly and: number; readonly xor: number }
  | { readonly is: 'notrack' }
  /** To a fixed address (and port). */
  | { readonly is: 'nat'; readonly kind: 'dnat' | 'snat'; readonly family: 4 | 6; readonly address: Uint8Array; readonly port?: number }
  /** To the address that the map has for the fields; the rule does not match where it has none. */
  | { readonly is: 'nat-map'; readonly kind: 'dnat' | 'snat'; readonly family: 4 | 6; readonly fields: readonly Field[]; readonly map: string }
  | { readonly is: 'masquerade' }
  | { readonly is: 'reject'; readonly with: 'port-unreachable' | 'admin-prohibited' | 'tcp-reset' }
  | ({ readonly is: 'verdict' } & Verdict);

/** A rule: its statements in order. `comment` is kept by the kernel, and nft shows it: with ' for quotes, spaces for control characters, cut to 128 bytes (text.ts). */
export type NftRule = { readonly statements: readonly Statement[]; readonly comment?: string };

export type Hook = {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress';
  /** With `ingress`, and only there: the interface whose packets the chain sees. */
  readonly device?: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
};

/** With `hook`: a base chain. Rules are part of the value: a chain is replaced whole. */
export type NftChain = { readonly name: string; readonly hook?: Hook; readonly rules: readonly NftRule[] };

export type NftSet = {
  readonly name: string;
  /** More than one: a concatenation, each padded to 4 bytes by the encoder. */
  readonly key: readonly DataType[];
  /** Present: a map. */
  readonly data?: DataType | 'verdict';
  /** Elements are ranges that do not overlap. Single keys only. */
  readonly interval?: boolean;
  /** Each element has a limit of its own, and is found only beyond it: what looks for it as often as `rate` a unit, after `burst` at once, does not find it. Sets of single keys only. */
  readonly limit?: ElementLimit;
  readonly comment?: string;
};

export type ElementLimit = { readonly rate: number; readonly unit: 'second' | 'minute' | 'hour' | 'day'; readonly burst: number };

/** One element. In an interval set `keyEnd` is the last key included (absent: one key). A key of several types is the plain concatenation, not padded. */
export type NftElement = { readonly key: Uint8Array; readonly keyEnd?: Uint8Array; readonly data?: Uint8Array; readonly verdict?: Verdict };

/** A whole table as a value. */
export type NftTable = {
  readonly family: TableFamily;
  readonly name: string;
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, { readonly set: NftSet; readonly elements: readonly NftElement[] }>;
};
