// nftables objects as values. They say what the kernel is to hold; print.ts prints them as nft text. No I/O.

/** nftables' table families. */
export type TableFamily = 'inet' | 'ip' | 'ip6' | 'arp' | 'netdev';

/** The type of a field or of a set's key. It decides the width and how a value is printed (types.ts). The names are nft's own. */
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

/** A property of a packet that rules can match. The names are nft's own. */
export type Field =
  | 'meta iifname'
  | 'meta oifname'
  | 'meta iif' // 0 for the host's own packets
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
  | 'th sport' // the ports in the first four bytes of the transport header; the rule must have matched TCP, UDP, DCCP, SCTP or UDPlite before (meta l4proto)
  | 'th dport'
  | 'icmp type' // first byte of the transport header; the matches of IPv4 and l4proto 1 are added automatically
  | 'icmp code'
  | 'icmpv6 type'
  | 'icmpv6 code'
  | 'dhcp giaddr' // BOOTP's relay address: 4 bytes at 32 of the UDP header; for this and the next five fields, the rule must have matched UDP and the port before
  | 'dhcp chaddr' // BOOTP's client hardware address: 6 bytes at 36
  | 'dhcp first option' // code, length and first byte of the option behind DHCP's cookie: 3 bytes at 248
  | 'dhcp first option head' // code and length of that option: 2 bytes at 248
  | 'dhcp second option' // code, length and first byte of the option behind a first one of four bytes: 3 bytes at 254
  | 'dhcp6 type' // DHCPv6's message type: 1 byte at 8
  | 'nd target' // the target of a neighbour solicitation or advertisement: 16 bytes at 8; the rule must have matched the icmpv6 type before
  | 'arp operation' // 2 bytes at 6
  | 'arp saddr ether'
  | 'arp saddr ip'
  | 'arp daddr ether'
  | 'arp daddr ip'
  | 'fib saddr . iif oif' // 4 bytes; 0 when no route leads back through the input interface
  | 'fib saddr . mark . iif oif'
  | 'fib daddr type'; // 4 bytes, RTN_*

/** The decision of a rule or of an element of a verdict map. */
export type Verdict = { readonly verdict: 'accept' | 'drop' | 'return' | 'continue' } | { readonly verdict: 'jump' | 'goto'; readonly chain: string };

/** A statement of a rule. Values are given as the bytes of the field, in network order where the field's type says so. */
export type Statement =
  | { readonly is: 'match'; readonly field: Field; readonly negate?: boolean; readonly value: Uint8Array }
  /** Matches when (field & mask) == value; with `negate`, when they differ. */
  | { readonly is: 'masked'; readonly field: Field; readonly negate?: boolean; readonly mask: Uint8Array; readonly value: Uint8Array }
  /** Matches when first <= field <= last; with `negate`, when not. */
  | { readonly is: 'range'; readonly field: Field; readonly negate?: boolean; readonly first: Uint8Array; readonly last: Uint8Array }
  /** Matches when the concatenation of the fields is in the set; with `negate`, when it is not. */
  | { readonly is: 'in-set'; readonly fields: readonly Field[]; readonly negate?: boolean; readonly set: string }
  /**
   * Takes the verdict that the map has for the concatenation of the fields. Evaluation continues when the map has none.
   * With `via`, the fields are looked up in the data map `via`, which gives a mark, and the mark in `map`. Elements of `via` carry no verdict, so changing them does not make the
   * kernel check all chains. The packet's own mark is not changed.
   */
  | { readonly is: 'verdict-map'; readonly fields: readonly Field[]; readonly via?: string; readonly map: string }
  | { readonly is: 'counter' }
  | { readonly is: 'log'; readonly prefix: string }
  /** Matches at most `rate` times per unit of time; with `over`, only beyond that rate. */
  | {
      readonly is: 'limit';
      readonly rate: number;
      readonly unit: 'second' | 'minute' | 'hour' | 'day';
      readonly burst: number;
      readonly over?: boolean;
      readonly of?: 'packets' | 'bytes';
    }
  /** Matches when there are more than `count` connections. */
  | { readonly is: 'connections-over'; readonly count: number }
  /** Sets mark = (mark & and) ^ xor. */
  | { readonly is: 'set-mark'; readonly of: 'packet' | 'connection'; readonly and: number; readonly xor: number }
  | { readonly is: 'notrack' }
  /** Translates to a fixed address, and to a port if given, or one from `port` to `lastPort`. */
  | {
      readonly is: 'nat';
      readonly kind: 'dnat' | 'snat';
      readonly family: 4 | 6;
      readonly address: Uint8Array;
      readonly port?: number;
      readonly lastPort?: number;
    }
  /** Translates to the address that the map has for the fields. The rule does not match when the map has none. */
  | { readonly is: 'nat-map'; readonly kind: 'dnat' | 'snat'; readonly family: 4 | 6; readonly fields: readonly Field[]; readonly map: string }
  /** Translates the source to an address of the interface that the packet leaves by, and its port to one from `port` to `lastPort` if these are given. */
  | { readonly is: 'masquerade'; readonly port?: number; readonly lastPort?: number }
  | { readonly is: 'reject'; readonly with: 'port-unreachable' | 'admin-prohibited' | 'tcp-reset' }
  | ({ readonly is: 'verdict' } & Verdict);

/** A rule: its statements in order. nft shows `comment`, with ' for quotes, spaces for control characters, cut to 128 bytes (text.ts). */
export type NftRule = { readonly statements: readonly Statement[]; readonly comment?: string };

/** Where a base chain is attached. */
export type Hook = {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress';
  /** The interface whose packets the chain sees; for the hook `ingress`, and only for it. */
  readonly device?: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
};

/** A chain; with `hook`, a base chain. The rules are part of the value, so a chain is replaced as a whole. */
export type NftChain = { readonly name: string; readonly hook?: Hook; readonly rules: readonly NftRule[] };

/** A set, or a map when `data` is present. */
export type NftSet = {
  readonly name: string;
  /** The types of the key. Several form a concatenation, whose parts the encoder pads to 4 bytes. */
  readonly key: readonly DataType[];
  /** The type of a map's values. */
  readonly data?: DataType | 'verdict';
  /** Whether the elements are ranges, which must not overlap. Only for keys of one type. */
  readonly interval?: boolean;
  /** A limit that each element has for itself: the first `burst` lookups, and `rate` per unit of time after them, do not find the element; further ones do. Only for sets without ranges. */
  readonly limit?: ElementLimit;
  readonly comment?: string;
};

/** A rate and a burst. */
export type ElementLimit = { readonly rate: number; readonly unit: 'second' | 'minute' | 'hour' | 'day'; readonly burst: number };

/** An element. In an interval set, `keyEnd` is the last key of the range; absent for a single key. A key of several types is the plain concatenation without padding. */
export type NftElement = { readonly key: Uint8Array; readonly keyEnd?: Uint8Array; readonly data?: Uint8Array; readonly verdict?: Verdict };

/** A whole table. */
export type NftTable = {
  readonly family: TableFamily;
  readonly name: string;
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, { readonly set: NftSet; readonly elements: readonly NftElement[] }>;
};
