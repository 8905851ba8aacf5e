// Programs the bandwidth limits of workloads' interfaces, and removes those that are stale.
import { shortDigest } from '@calico-openstack/datamodel';
import { createShaper, type Link, type LinkEditor, type Links, openQdiscs, type Shaper, type ShaperRights, type Shaping } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

const ifbPrefix = 'bwcali';
/** Upstream's Felix uses the same names for its ifbs, and the handle `1:` for its root qdiscs. Ours replace them. */
export const shaperRights: ShaperRights = {
  isOurIfb: (name) => name.startsWith(ifbPrefix),
  succeeds: ({ kind, handle }) => kind === 'tbf' && handle === 0x10000,
};
/** The name of the ifb to which the packets that a workload sends are redirected. It has at most 15 characters, because the interface's own name has no more. */
export const ifbOf = (interfaceName: string): string => `${ifbPrefix}${shortDigest(interfaceName, 9)}`;

type ShapedDevice = Pick<WorkloadDevice, 'interfaceName' | 'bandwidth'>;

/** Programs the limits once for each epoch of a link, and again when another program has changed them. */
export class BandwidthLimits {
  readonly #shaper: Shaper;
  /** The state of the link at which an interface's limits were programmed, as text. */
  readonly #settled = new Map<string, string>();
  /** The interfaces that have limits in the kernel, or may have some of an earlier run. */
  readonly #limited: Set<string>;
  /** The interfaces whose limits another program has changed. */
  readonly #touched = new Set<string>();
  /** The interfaces by the ifb to which their packets are redirected. */
  readonly #nameByIfb = new Map<string, string>();
  readonly #abandoned = new Set<string>();
  #sweepDue = true;

  /** @param onDrift called when another program has changed limits, so that they have to be programmed again */
  constructor(shaper: Shaper, onDrift: () => void) {
    this.#shaper = shaper;
    this.#limited = new Set(shaper.shaped());
    shaper.watch((names) => {
      const before = this.#touched.size;
      for (const name of names ?? this.#limited) this.#touch(this.#nameByIfb.get(name) ?? name);
      if (this.#touched.size > before) onDrift();
    });
  }

  /** Says that the desired limits may have changed. */
  forget(name: string): void {
    this.#settled.delete(name);
  }

  /** Says that a link has changed: an interface, or an ifb to which the packets of one are redirected. */
  linkChanged(name: string): void {
    const throughIt = this.#nameByIfb.get(name);
    if (throughIt !== undefined) this.#touch(throughIt);
  }

  /** The interfaces whose limits have to be programmed again, because another program has changed them. */
  takeTouched(): readonly string[] {
    const names = [...this.#touched];
    this.#touched.clear();
    return names;
  }

  /** Programs the limits of an interface. @param link undefined when the interface does not exist @returns the reason for people if it does not have its limits */
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

  /** Says that the interface may have lost its endpoint. In that case `settleRest` removes its limits. */
  abandon(name: string): void {
    if (this.#limited.has(name)) this.#abandoned.add(name);
  }

  /** Removes the limits of interfaces without an endpoint and, the first time, the ifbs of an earlier run whose interface is gone. @param owned the existing interfaces with an endpoint */
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

  /** Removes an ifb whose interface is gone. The kernel has removed the filter that redirected packets to it together with the interface. */
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

/** Removes this Felix's limits from these interfaces. Those of another Felix stay. Returns how many interfaces had limits of ours. */
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
