// Queueing disciplines of links as values, as far as limiting bandwidth needs them: the root qdisc, the ingress qdisc, and its filters. No I/O.

/** A token bucket: the rate at which a link passes packets, and how much may pass at once. */
export type TokenBucket = {
  readonly rateBytesPerSecond: number;
  /** How much may pass at once. A packet that is larger never passes. */
  readonly burstBytes: number;
  /** The limit of the queue. Packets beyond it are dropped. */
  readonly queueBytes: number;
  /** The rate at which a burst passes. It must be greater than the rate. */
  readonly peak?: { readonly rateBytesPerSecond: number; readonly burstBytes: number };
};

/**
 * A token bucket as the kernel reports it (struct tc_tbf_qopt). The kernel keeps a burst as the time that it takes at the rate, in ticks of 64 ns, and reports the lower 32 bits of it.
 */
export type HeldBucket = {
  readonly rateBytesPerSecond: number;
  readonly burstTicks: number;
  readonly queueBytes: number;
  readonly peak?: { readonly rateBytesPerSecond: number; readonly burstTicks: number };
};

/** A root qdisc that is not the kernel's default. `bucket` is present for a `tbf`. */
export type RootQdisc = { readonly kind: string; readonly handle: number; readonly bucket?: HeldBucket };

/** A filter of the packets that a link receives. `redirectsTo`: the index of the link to which it redirects all of them, 0 when that is gone; absent for any other filter. */
export type IngressFilter = {
  readonly kind: string;
  readonly priority: number;
  readonly protocol: number;
  readonly handle: number;
  readonly redirectsTo?: number;
};

/** The root qdisc, the ingress qdisc and the filters of a link. */
export type LinkQdiscs = {
  /** Absent while the link has the kernel's default. */
  readonly root?: RootQdisc;
  /** `ingress` or `clsact`: both can hold filters of received packets, and a link has one of them at most. */
  readonly ingress?: string;
  readonly filters: readonly IngressFilter[];
};

/** The handle of the root qdisc that this program creates, `ca1:`. A `tbf` with this handle is recognised as this program's own. */
export const bucketHandle = 0x0ca1_0000;
/** The priority of this program's filters: an unusual one, because filters of another kind with the same priority would exclude it. */
export const redirectPriority = 0xca1;

/** An operation on the link with this index. */
export type QdiscOperation = { readonly index: number } & (
  | { readonly verb: 'create-root' | 'change-root'; readonly bucket: TokenBucket }
  | { readonly verb: 'delete-root'; readonly handle: number }
  | { readonly verb: 'create-ingress' | 'delete-ingress' }
  /** Redirects all received packets to another link. */
  | { readonly verb: 'create-redirect'; readonly to: number }
  | { readonly verb: 'delete-filter'; readonly filter: IngressFilter }
);

/** The kernel's refusal; `errno` is its name of the error, `detail` its message. */
export type QdiscRefusal = { readonly errno: string; readonly detail?: string };

/** The qdiscs of a network namespace. */
export interface QdiscTable {
  /** Reads the qdiscs and filters of a link; none when there is no such link. Throws NetlinkError when the kernel cannot be read. */
  read(index: number): LinkQdiscs;
  /** The indexes of links with a root or ingress qdisc other than the kernel's defaults. */
  links(): ReadonlySet<number>;
  /** Returns the kernel's refusal. Throws when it is unknown what the kernel did. */
  commit(operation: QdiscOperation): QdiscRefusal | undefined;
  /** Calls back with the indexes of links whose qdiscs or filters others changed; calls `onLost` when some are missing. */
  watch(onChanged: (indexes: ReadonlySet<number>) => void, onLost: () => void): { close(): void };
  close(): void;
}

const tickNs = 64;
const ticksOf = (bytes: number, rateBytesPerSecond: number): number => Math.floor((bytes * (1e9 / tickNs)) / rateBytesPerSecond);

/** The bucket as the kernel will report it, but for rounding. */
export function heldBucket({ rateBytesPerSecond, burstBytes, queueBytes, peak }: TokenBucket): HeldBucket {
  return {
    rateBytesPerSecond,
    burstTicks: ticksOf(burstBytes, rateBytesPerSecond) % 2 ** 32,
    queueBytes,
    ...(peak && { peak: { rateBytesPerSecond: peak.rateBytesPerSecond, burstTicks: ticksOf(peak.burstBytes, peak.rateBytesPerSecond) % 2 ** 32 } }),
  };
}

/** Whether the kernel holds this bucket. The kernel rounds bursts, so they are compared to within a thousandth. */
export function holds(held: HeldBucket, wanted: TokenBucket): boolean {
  const { rateBytesPerSecond, burstTicks, queueBytes, peak } = held;
  if (rateBytesPerSecond !== wanted.rateBytesPerSecond || queueBytes !== wanted.queueBytes || (peak === undefined) !== (wanted.peak === undefined))
    return false;
  if (!isNear(burstTicks, ticksOf(wanted.burstBytes, rateBytesPerSecond))) return false;
  if (!peak || !wanted.peak) return true;
  return peak.rateBytesPerSecond === wanted.peak.rateBytesPerSecond && isNear(peak.burstTicks, ticksOf(wanted.peak.burstBytes, peak.rateBytesPerSecond));
}

/** @param ticks the lower 32 bits of a number @param wanted the whole number that it should be */
function isNear(ticks: number, wanted: number): boolean {
  const apart = Math.abs(ticks - (wanted % 2 ** 32));
  return Math.min(apart, 2 ** 32 - apart) <= 2 + wanted / 1000;
}

/** Throws RangeError for a bucket that the kernel would refuse, or take for another one. */
export function checkBucket({ rateBytesPerSecond, burstBytes, queueBytes, peak }: TokenBucket): void {
  const check = (value: number, most: number, what: string): void => {
    if (!Number.isInteger(value) || value < 1 || value > most) throw new RangeError(`${what} of ${value} is not a whole number from 1 to ${most}`);
  };
  check(rateBytesPerSecond, Number.MAX_SAFE_INTEGER, 'a rate in bytes per second');
  check(burstBytes, 0xffff_ffff, 'a burst in bytes');
  check(queueBytes, 0xffff_ffff, 'a queue in bytes');
  if (!peak) return;
  check(peak.rateBytesPerSecond, Number.MAX_SAFE_INTEGER, 'a peak rate in bytes per second');
  check(peak.burstBytes, 0xffff_ffff, 'a burst at the peak rate in bytes');
  if (peak.rateBytesPerSecond <= rateBytesPerSecond)
    throw new RangeError(`a peak rate of ${peak.rateBytesPerSecond} bytes per second is not above the rate of ${rateBytesPerSecond}`);
}
