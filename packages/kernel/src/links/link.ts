// Network interfaces ("links") and their addresses as values, and the interfaces to read, follow and change them. No I/O.
import type { IpFamily } from '@calico-openstack/addresses';

/** One interface as the kernel last reported it. */
export type Link = {
  readonly name: string;
  readonly index: number;
  /** IFF_UP: the link was switched on. Routes need no more. */
  readonly up: boolean;
  /** IFF_RUNNING: up, and there is a carrier (for a tap: something has it open). */
  readonly running: boolean;
  /** The MAC; absent where the link has no address of six bytes. */
  readonly mac: string | undefined;
  readonly mtuBytes: number;
  /** `tun`, `veth`, `bridge` …; absent for hardware. */
  readonly kind: string | undefined;
  readonly masterIndex: number | undefined;
  /**
   * A growing number that is never used twice. It changes whenever the kernel may have dropped the link's routes, neighbours and settings without a report: because the link appeared
   * (again), went down, or events were lost. Everything that was programmed under another epoch is in doubt.
   */
  readonly epoch: number;
};

/** An address of this host on a link. */
export type LinkAddress = {
  readonly family: IpFamily;
  readonly address: string;
  readonly prefixLength: number;
  /** RT_SCOPE_*: 0 everywhere, 253 link, 254 host. */
  readonly scope: number;
  /** Duplicate address detection has not succeeded (yet): the kernel does not use the address. */
  readonly tentative: boolean;
  /** Whether the kernel keeps no route to the prefix for the address. */
  readonly noPrefixRoute: boolean;
  /** Which program added the address, if it said so (IFA_PROTO, since Linux 5.18): a number from 1 to 255. 1 to 3 are the kernel's own. */
  readonly protocol?: number;
};

/** The names of links that changed in any field, and of those whose addresses changed, if only for a moment between two calls. Deleted links are among them. */
export type LinkChange = {
  readonly links: ReadonlySet<string>;
  readonly addresses: ReadonlySet<string>;
  /** The links that lost an IPv4 address meanwhile, even if they have it again. When it was the last one, the kernel has dropped the link's IPv4 routes and reported none of them. */
  readonly lostIpv4: ReadonlySet<string>;
};

/** Ends a subscription when closed. */
export type Subscription = { close(): void };

/** The host's links, kept current by the kernel's events. */
export interface Links {
  /** The links by name, as of the last event. */
  readonly links: ReadonlyMap<string, Link>;
  link(name: string): Link | undefined;
  /** The name of the link with this index; asks the kernel when its event has not come yet. */
  nameOf(index: number): string | undefined;
  /** The name of the link with this index, as of the last event. */
  knownNameOf(index: number): string | undefined;
  /** The link's addresses in no particular order. Empty where there is no such link. */
  addresses(name: string): readonly LinkAddress[];
  /**
   * Calls back at once with what changed, and once for all events that came together. The reader then reads the current state. A link that went and came back meanwhile is reported;
   * its epoch differs.
   */
  watch(listener: (change: LinkChange) => void): Subscription;
  /** Reads everything again; watchers are called with what differs. For a periodic check. Throws NetlinkError when the kernel cannot be read. */
  refresh(): void;
  close(): void;
}

/** The kernel's refusal. `code` is the errno's name: EEXIST (there already), ENODEV (no such link), EOPNOTSUPP (the kernel lacks this kind of link) … */
export type LinkRefusal = { readonly code: string; readonly detail?: string };

/** Properties of a new address: see ip-address(8). */
export type AddressOptions = {
  readonly noPrefixRoute?: boolean;
  readonly noDad?: boolean;
  /** IPv4 only. RT_SCOPE_*: [0] everywhere; 253 (link): never the source of what leaves by another link. */
  readonly scope?: number;
  /** `LinkAddress.protocol`. Older kernels ignore it. */
  readonly protocol?: number;
  /** IPv4 only. The name under which ip-address(8) and some programs see the address; [the link's name]. */
  readonly label?: string;
  /** The link's index, if the caller knows it. Otherwise the kernel is asked for it, behind a lock that it holds for milliseconds while a link is removed. */
  readonly index?: number;
};

/** Creates and changes links. Each call is done when it returns, or returns the refusal; `Links` shows the change when the kernel's event has come. */
export interface LinkEditor {
  /** A link with nothing at its other end, switched off. `ifb` does what `dummy` does where the kernel has no dummy links. */
  createLink(name: string, kind: 'dummy' | 'ifb'): LinkRefusal | undefined;
  removeLink(name: string): LinkRefusal | undefined;
  /** The index of the link that has this name now: a link that was just created is not among `Links` yet. */
  indexOf(name: string): number | undefined;
  setLink(name: string, change: { readonly up?: boolean; readonly mtuBytes?: number; readonly mac?: string; readonly name?: string }): LinkRefusal | undefined;
  addAddress(name: string, address: string, prefixLength: number, options?: AddressOptions): LinkRefusal | undefined;
  removeAddress(name: string, address: string, prefixLength: number, options?: Pick<AddressOptions, 'index'>): LinkRefusal | undefined;
}

/** All links and addresses at one time. */
export type LinkReading = { readonly links: readonly LinkFacts[]; readonly addresses: readonly { readonly index: number; readonly address: LinkAddress }[] };
/** A link as the kernel describes it, without the epoch. */
export type LinkFacts = Omit<Link, 'epoch'>;

/** A change of a link or of an address, as the kernel reports it. */
export type LinkEvent =
  | { readonly event: 'link'; readonly link: LinkFacts }
  | { readonly event: 'gone'; readonly index: number }
  | { readonly event: 'address'; readonly index: number; readonly address: LinkAddress }
  | { readonly event: 'address-gone'; readonly index: number; readonly address: LinkAddress };

/** The source of a `Links`: netlink, or the fake. */
export interface LinkSource {
  read(): LinkReading;
  /** Calls back with events in order, and calls `onLost` when some are missing. No event is missed silently after this call has returned. */
  watch(onEvents: (events: readonly LinkEvent[]) => void, onLost: () => void): Subscription;
  nameOf(index: number): string | undefined;
  close(): void;
}

/**
 * Whether the kernel would take it as an interface's name as it stands: 1 to 15 bytes, none of `/`, `:`, white space and `%` (a template), not `.` or `..`.
 * So it is one component of a path.
 */
export function isInterfaceName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: NUL would end the name early in the kernel
  return name !== '.' && name !== '..' && !/[/:%\s\u0000]/.test(name) && name.length > 0 && Buffer.byteLength(name) <= 15;
}
