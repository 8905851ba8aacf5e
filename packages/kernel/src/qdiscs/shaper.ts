// Limits the bandwidth of links in both directions. Packets to a link pass a token bucket at its root. Packets from it are redirected to an ifb, a link whose only purpose is the token bucket
// at its own root. Other programs' qdiscs stay: where another program's root qdisc is, the limit is refused.
//
//     to the link:    ──► root: tbf ──► link                    from the link:    link ──► ingress qdisc, filter ──► ifb, root: tbf ──► as if it had just been received
import type { Link, LinkEditor, Links } from '../links/link.ts';
import {
  bucketHandle,
  holds,
  type IngressFilter,
  type LinkQdiscs,
  type QdiscOperation,
  type QdiscTable,
  type RootQdisc,
  redirectPriority,
  type TokenBucket,
} from './qdisc.ts';

/** The limits of a link. Absent: none in this direction. */
export type Shaping = {
  readonly toLink?: TokenBucket;
  /** `through` is the name of the ifb, which is for this link alone. */
  readonly fromLink?: { readonly bucket: TokenBucket; readonly through: string };
};

/** Why a link does not have its limits. OCCUPIED: another program's qdisc is at its root. */
export type ShapingRefusal = { readonly code: 'OCCUPIED' | 'REFUSED'; readonly detail: string };

/** Makes the limits of links as desired. */
export interface Shaper {
  /**
   * Programs a link's limits, whatever an earlier run has left, and removes an ifb that the link no longer needs. Correct qdiscs are not touched. The limits of a link that does not exist are
   * refused.
   */
  shape(link: Pick<Link, 'index' | 'mtuBytes'>, shaping: Shaping): ShapingRefusal | undefined;
  /** The names of links that may have limits of an earlier run. */
  shaped(): ReadonlySet<string>;
  /** Removes an ifb of this program's. */
  removeIfb(name: string): void;
  /** The names of this program's ifbs that are there. */
  ifbs(): readonly string[];
  /** Calls back with the names of links whose qdiscs others have changed; undefined when it may be any link. */
  watch(listener: (names: ReadonlySet<string> | undefined) => void): { close(): void };
  close(): void;
}

/** What a shaper needs of links. */
export type ShaperLinks = Pick<Links, 'links' | 'nameOf'> & Pick<LinkEditor, 'createLink' | 'removeLink' | 'setLink' | 'indexOf'>;

/** An Ethernet header with a VLAN tag: what a packet of the link's MTU has in addition. */
const linkHeaderBytes = 18;

/** What is this program's to change. */
export type ShaperRights = {
  /** Whether an ifb of this name is this program's. */
  readonly isOurIfb: (name: string) => boolean;
  /** Whether this program may replace a root qdisc of this kind. When it is left out, no other root qdisc is replaced. */
  readonly succeeds?: (root: RootQdisc) => boolean;
};

/** Creates a shaper over a table, which it closes with itself. */
export function createShaper(table: QdiscTable, links: ShaperLinks, rights: ShaperRights): Shaper {
  return new LinkShaper(table, links, rights);
}

class LinkShaper implements Shaper {
  readonly #table: QdiscTable;
  readonly #links: ShaperLinks;
  readonly #isOurIfb: (name: string) => boolean;
  readonly #succeeds: (root: RootQdisc) => boolean;

  constructor(table: QdiscTable, links: ShaperLinks, { isOurIfb, succeeds = () => false }: ShaperRights) {
    this.#table = table;
    this.#links = links;
    this.#isOurIfb = isOurIfb;
    this.#succeeds = succeeds;
  }

  shape({ index, mtuBytes }: Pick<Link, 'index' | 'mtuBytes'>, { toLink, fromLink }: Shaping): ShapingRefusal | undefined {
    const held = this.#table.read(index);
    // An ingress qdisc that comes or goes makes the kernel empty the queue of the root qdisc, so the root's turn comes second.
    const from = fromLink ? this.#redirect(index, held, fitting(fromLink.bucket, mtuBytes), fromLink.through) : this.#undoRedirect(index, held);
    return this.#setRoot(index, held, toLink && fitting(toLink, mtuBytes)) ?? from;
  }

  shaped(): ReadonlySet<string> {
    return new Set([...this.#table.links()].flatMap((index) => this.#links.nameOf(index) ?? []));
  }

  removeIfb(name: string): void {
    if (this.#isOurIfb(name)) this.#links.removeLink(name);
  }

  ifbs(): readonly string[] {
    return [...this.#links.links.values()].filter(({ name, kind }) => kind === 'ifb' && this.#isOurIfb(name)).map(({ name }) => name);
  }

  watch(listener: (names: ReadonlySet<string> | undefined) => void): { close(): void } {
    return this.#table.watch(
      (indexes) => listener(new Set([...indexes].flatMap((index) => this.#links.nameOf(index) ?? []))),
      () => listener(undefined),
    );
  }

  close(): void {
    this.#table.close();
  }

  #setRoot(index: number, { root }: LinkQdiscs, bucket: TokenBucket | undefined): ShapingRefusal | undefined {
    const ours = root?.kind === 'tbf' && root.handle === bucketHandle ? root : undefined;
    const former = root && !ours && this.#succeeds(root) ? root : undefined;
    // libvirt puts a `noqueue` on every tap of a guest. It holds nothing back, so that nobody misses it.
    const replaceable = former ?? (root?.kind === 'noqueue' ? root : undefined);
    const obsolete = bucket ? replaceable : (ours ?? former);
    const refusal = obsolete && this.#commit({ verb: 'delete-root', index, handle: obsolete.handle }, 'ENOENT', 'EINVAL');
    if (refusal || !bucket) return refusal;
    if (root && !ours && !replaceable) return { code: 'OCCUPIED', detail: `another program’s qdisc "${root.kind}" is at the root of the interface` };
    if (ours?.bucket && holds(ours.bucket, bucket)) return undefined;
    return this.#commit({ verb: ours ? 'change-root' : 'create-root', index, bucket });
  }

  /** The bucket is there before packets are led to it, so that none is lost. */
  #redirect(index: number, held: LinkQdiscs, bucket: TokenBucket, through: string): ShapingRefusal | undefined {
    const to = this.#openIfb(through);
    if (typeof to !== 'number') return to;
    const refusal =
      this.#setRoot(to, this.#table.read(to), bucket) ?? (held.ingress === undefined ? this.#commit({ verb: 'create-ingress', index }, 'EEXIST') : undefined);
    if (refusal) return refusal;
    const ours = held.filters.filter((filter) => this.#isOurs(filter));
    const [right, ...superfluous] = [...ours].sort((one, other) => Number(other.redirectsTo === to) - Number(one.redirectsTo === to));
    const isRight = right?.redirectsTo === to;
    const wrong = isRight ? superfluous : ours;
    return this.#deleteFilters(index, wrong) ?? (isRight ? undefined : this.#commit({ verb: 'create-redirect', index, to }));
  }

  /** An ifb that exists and is up. */
  #openIfb(name: string): number | ShapingRefusal {
    const made = this.#links.createLink(name, 'ifb');
    if (made && made.code !== 'EEXIST') return { code: 'REFUSED', detail: `the kernel creates no link of kind ifb (${made.code}): is its module ifb there?` };
    const up = this.#links.setLink(name, { up: true });
    const index = this.#links.indexOf(name);
    return up || index === undefined ? { code: 'REFUSED', detail: `cannot switch on the link ${name}: ${up?.code ?? 'ENODEV'}` } : index;
  }

  #undoRedirect(index: number, { ingress, filters }: LinkQdiscs): ShapingRefusal | undefined {
    const ours = filters.filter((filter) => this.#isOurs(filter));
    if (ours.length === 0) return undefined;
    const refusal =
      this.#deleteFilters(index, ours) ??
      (ingress === 'ingress' && ours.length === filters.length ? this.#commit({ verb: 'delete-ingress', index }, 'ENOENT', 'EINVAL') : undefined);
    for (const { redirectsTo } of ours) {
      const name = redirectsTo ? this.#links.nameOf(redirectsTo) : undefined;
      if (name !== undefined) this.removeIfb(name);
    }
    return refusal;
  }

  #deleteFilters(index: number, filters: readonly IngressFilter[]): ShapingRefusal | undefined {
    for (const filter of filters) {
      const refusal = this.#commit({ verb: 'delete-filter', index, filter }, 'ENOENT');
      if (refusal) return refusal;
    }
    return undefined;
  }

  #isOurs({ kind, priority, redirectsTo }: IngressFilter): boolean {
    if (redirectsTo === undefined) return false;
    return (kind === 'u32' && priority === redirectPriority) || this.#isOurIfb(this.#links.nameOf(redirectsTo) ?? '');
  }

  /** @param harmless what the kernel says when it is so already */
  #commit(operation: QdiscOperation, ...harmless: readonly string[]): ShapingRefusal | undefined {
    const refusal = this.#table.commit(operation);
    if (!refusal || harmless.includes(refusal.errno)) return undefined;
    return {
      code: refusal.errno === 'EEXIST' ? 'OCCUPIED' : 'REFUSED',
      detail: `${operation.verb}: ${[refusal.errno, refusal.detail].filter(Boolean).join(' ')}`,
    };
  }
}

/** A bucket that passes packets of the link's MTU: one that is smaller would stop them for ever. */
function fitting({ burstBytes, peak, ...rest }: TokenBucket, mtuBytes: number): TokenBucket {
  const least = mtuBytes + linkHeaderBytes;
  return { ...rest, burstBytes: Math.max(burstBytes, least), ...(peak && { peak: { ...peak, burstBytes: Math.max(peak.burstBytes, least) } }) };
}
