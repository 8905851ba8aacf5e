// The limits of bandwidth on the interfaces of workloads, and which interfaces have them in the kernel.
import { shortDigest } from '@calico-openstack/datamodel';
import { createShaper, type Link, type LinkEditor, type Links, openQdiscs, type Shaper, type ShaperRights, type Shaping } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

const ifbPrefix = 'bwcali';
/** Upstream's Felix names its ifbs so too, and puts its buckets at the root with the handle `1:`. Ours take their place. */
export const shaperRights: ShaperRights = {
  isOurIfb: (name) => name.startsWith(ifbPrefix),
  succeeds: ({ kind, handle }) => kind === 'tbf' && handle === 0x10000,
};
/** The name of the ifb through which what a workload sends is led: at most 15 characters, as the interface's own name has. */
export const ifbOf = (interfaceName: string): string => `${ifbPrefix}${shortDigest(interfaceName, 9)}`;

type ShapedDevice = Pick<WorkloadDevice, 'interfaceName' | 'bandwidth'>;

/** Makes the limits right once for each life of an interface, and again when others changed something of them. */
export class BandwidthLimits {
  readonly #shaper: Shaper;
  /** The state of the link under which an interface's limits were made right, as text. */
  readonly #settled = new Map<string, string>();
  /** Interfaces that have limits in the kernel, or may have some of an earlier run. */
  readonly #limited: Set<string>;
  /** Interfaces of which others changed something. */
  readonly #touched = new Set<string>();
  /** The interfaces by the ifb that they are led through. */
  readonly #nameByIfb = new Map<string, string>();
  readonly #abandoned = new Set<string>();
  #sweepDue = true;

  /** @param onDrift called when others changed something: there is something to settle */
  constructor(shaper: Shaper, onDrift: () => void) {
    this.#shaper = shaper;
    this.#limited = new Set(shaper.shaped());
    shaper.watch((names) => {
      const before = this.#touched.size;
      for (const name of names ?? this.#limited) this.#touch(this.#nameByIfb.get(name) ?? name);
      if (this.#touched.size > before) onDrift();
    });
  }

  /** Other limits may be desired now. */
  forget(name: string): void {
    this.#settled.delete(name);
  }

  /** A link changed: an interface, or an ifb that one of them is led through. */
  linkChanged(name: string): void {
    const throughIt = this.#nameByIfb.get(name);
    if (throughIt !== undefined) this.#touch(throughIt);
  }

  /** The interfaces that have to be settled again, because others changed something of them. */
  takeTouched(): readonly string[] {
    const names = [...this.#touched];
    this.#touched.clear();
    return names;
  }

  /** @param link undefined when the interface is not there @returns why the interface does not have its limits */
  settle({ interfaceName: name, bandwidth }: ShapedDevice, link: Link | undefined): string | undefined {
    if (!bandwidth && !this.#limited.has(name)) return undefined;
    if (!link || !bandwidth) this.#dropIfb(name, link);
    if (!link) return undefined;
    const state = `${link.index} ${link.epoch} ${link.mtuBytes}`;
    if (this.#settled.get(name) === state) return undefined;
    const refusal = this.#shaper.shape(link, this.#shapingOf(name, bandwidth ?? {}));
    if (refusal) return `QoS: ${refusal.detail}`;
    if (bandwidth) {
      this.#limited.add(name);
      this.#settled.set(name, state);
    } else this.#limited.delete(name);
    return undefined;
  }

  /** The interface may have lost its endpoint: `settleRest` takes its limits away if so. */
  abandon(name: string): void {
    if (this.#limited.has(name)) this.#abandoned.add(name);
  }

  /** Takes away the limits of interfaces without an endpoint, and, the first time, the ifbs of an earlier run that lead nowhere. @param owned the interfaces with an endpoint that are there */
  settleRest(owned: { has(name: string): boolean }, linkOf: (name: string) => Link | undefined): void {
    for (const name of this.#abandoned) {
      if (owned.has(name)) continue;
      const link = linkOf(name);
      if (link) this.#shaper.shape(link, {});
      this.#dropIfb(name, link);
      this.#settled.delete(name);
      this.#limited.delete(name);
    }
    this.#abandoned.clear();
    if (!this.#sweepDue) return;
    this.#sweepDue = false;
    for (const ifb of this.#shaper.ifbs()) if (!this.#nameByIfb.has(ifb)) this.#shaper.removeIfb(ifb);
  }

  #shapingOf(name: string, { ingress, egress }: NonNullable<WorkloadDevice['bandwidth']>): Shaping {
    if (egress) this.#nameByIfb.set(ifbOf(name), name);
    return { ...(ingress && { toLink: ingress }), ...(egress && { fromLink: { bucket: egress, through: ifbOf(name) } }) };
  }

  /** Without its interface an ifb has nothing to do. The kernel has dropped the filter that led to it together with the interface. */
  #dropIfb(name: string, link: Link | undefined): void {
    const ifb = ifbOf(name);
    if (!link && this.#nameByIfb.has(ifb)) this.#shaper.removeIfb(ifb);
    this.#nameByIfb.delete(ifb);
    if (!link) this.#settled.delete(name);
  }

  #touch(name: string): void {
    if (!this.#limited.has(name)) return;
    this.#settled.delete(name);
    this.#touched.add(name);
  }
}

/** Takes this Felix's own limits away from these interfaces; another one's stay. Returns how many interfaces had some. */
export function removeLimits(links: Links & LinkEditor, names: Iterable<string>): number {
  const interfaces = [...names].flatMap((name) => links.link(name) ?? []);
  const ifbs = new Set(interfaces.map(({ name }) => ifbOf(name)));
  const shaper = createShaper(openQdiscs(), links, { isOurIfb: (name) => ifbs.has(name) });
  try {
    const shaped = shaper.shaped();
    const limited = interfaces.filter(({ name }) => shaped.has(name));
    for (const link of limited) shaper.shape(link, {});
    for (const ifb of shaper.ifbs()) shaper.removeIfb(ifb);
    return limited.length;
  } finally {
    shaper.close();
  }
}
