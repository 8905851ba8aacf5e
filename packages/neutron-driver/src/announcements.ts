// Answers Neutron's announcements: before a commit, whether the change is allowed; after it, when etcd has the change.

import { type Clock, type Logger, systemClock, within } from '@calico-openstack/agent';
import { sameContent } from '@calico-openstack/datamodel';
import { type Etcd, EtcdError, type KeyValue } from '@calico-openstack/etcd';
import type { AddressChecks } from './addressing/check.ts';
import { parseRows, type RowsSource } from './rows.ts';
import type { StatelessGroups } from './stateless-groups.ts';
import { type Announcement, bindingHalf, derive, floatingIpPorts, parseAnnouncement } from './sync/announcement.ts';
import type { Change } from './sync/change.ts';
import type { Journal } from './sync/journal.ts';
import { OpenAnnouncements } from './sync/open-announcements.ts';
import { type Found, keysToRead, type Settings } from './sync/plan.ts';
import { maxOperations, type Sync, SyncError, type SyncResult } from './sync/sync.ts';
import type { Slot } from './translate/endpoint.ts';
import { type Peer, Refusal, WireError } from './wire/peer.ts';

/** The parts that answering announcements needs. */
export type AnnouncementsOptions = {
  readonly etcd: Etcd;
  /** The keys that the driver writes. */
  readonly settings: Pick<Settings, 'keys'>;
  readonly sync: Sync;
  readonly journal: Journal;
  /** Checks which addresses are allowed. */
  readonly checks: AddressChecks;
  readonly stateless: Pick<StatelessGroups, 'refusal'>;
  readonly sourceOf: (peer: Peer) => RowsSource;
  readonly etcdTimeoutMs: number;
  readonly patience: Patience;
  readonly log: Logger;
  readonly clock?: Pick<Clock, 'nowMs' | 'steadyMs' | 'pause'>;
  /** Called when the journal has something to do. */
  readonly onJournal: () => void;
  /** Called when a port's status may have changed without a report of Felix: it was bound, unbound or bound again, and Neutron itself has set it to DOWN, or its addresses or floating IPs changed. */
  readonly onPort: (port: string) => void;
  /** Called instead when a port that was DOWN was bound: its status is another one only if it has a report already. */
  readonly onBound: (port: string, slots: readonly Slot[]) => void;
  /** Called when a floating IP was disassociated. */
  readonly onFreeFloatingIp: (id: string) => void;
};

/** How long Neutron's transactions wait for etcd before their commit. */
export type Patience = {
  /** The longest such time. etcd elects a new leader in less. */
  readonly commitMs: number;
  /** The time while etcd is known not to answer, so that callers do not queue up. */
  readonly outageMs: number;
};

/** No key ever has this revision, so a transaction that compares it writes nothing. But etcd refuses it when it would refuse a write: without space, or without permission. */
const never = Number.MAX_SAFE_INTEGER;

/** How long to wait for the second half of a binding. After that, the first half is checked by itself, because a worker may have died between them. */
const halfwayMs = 10_000;

/** How long the answer that etcd gave before the first half of a binding holds for the second half. */
const halvesApartMs = 1_000;

/** The answer to a `before`. */
type Answer = {
  /** Nothing has to be announced after the commit. */
  readonly done?: true;
  /** Nothing has to be announced before the second half of a binding is committed. */
  readonly halfway?: true;
  /** The announcement after the commit may bring the port's rows. */
  readonly rows?: true;
};

/** The first half of a binding: when etcd answered for it, whether the port was DOWN before it, and whether the second half has been announced. */
type Half = { readonly answeredMs: number; readonly wasDown: boolean; isFollowed: boolean };

/** The daemon's answers to announcements, for all connections. `before` and `after` throw Refusal, whose message Neutron shows to the API's user. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: the two halves of an announcement share its marks and what is known of etcd
export function createAnnouncements(options: AnnouncementsOptions) {
  const { etcd, settings, sync, journal, checks, log, clock = systemClock } = options;
  const probeKey = settings.keys.policy('probe');
  const open = new OpenAnnouncements<Peer>(clock);
  let probe: Promise<unknown> | undefined;
  let answering = true;
  /** The bindings whose first half was announced, by port. */
  const halves = new Map<string, Half>();

  /**
   * Makes etcd carry out a write that changes nothing. All calls during it share it.
   * Resolves to the values of these keys, which the same request reads; to undefined where another call's request was shared, or a request has no room for so many keys.
   */
  async function etcdAnswers(keys: readonly string[]): Promise<Found | undefined> {
    if (probe) {
      await probe;
      return undefined;
    }
    const asking = ask(keys.length <= maxOperations ? keys : []).finally(() => {
      probe = undefined;
    });
    probe = asking;
    const values = await asking;
    return values.length === keys.length ? new Map(keys.map((key, index) => [key, values[index]])) : undefined;
  }

  /**
   * Whether this is the second half of a binding, and etcd has just answered for the first. Then the transaction need not wait for etcd again: by refusing the second half, the port would
   * not become what it was before, but remain without a binding.
   */
  function isAnswered(announcement: Announcement): boolean {
    const oldestMs = clock.steadyMs() - halvesApartMs;
    for (const [port, { answeredMs }] of halves) if (answeredMs < oldestMs) halves.delete(port);
    const half = bindingHalf(announcement) === 'second' ? halves.get(announcement.id ?? '') : undefined;
    if (!half || half.isFollowed) return false;
    half.isFollowed = true;
    return true;
  }

  async function ask(keys: readonly string[]): Promise<readonly (KeyValue | undefined)[]> {
    const waitMs = answering ? options.patience.commitMs : options.patience.outageMs;
    const late = () => new EtcdError('ETCD_TIMEOUT', `etcd did not answer within ${waitMs / 1000} s`);
    try {
      const request = etcd.transact(
        [{ key: probeKey, modRevision: never }],
        [{ put: probeKey, value: '' }],
        keys.map((key) => ({ get: key })),
      );
      const { found } = await within(request, waitMs, clock, late);
      answering = true;
      return found;
    } catch (error) {
      answering = false;
      throw error;
    }
  }

  async function before(peer: Peer, announcement: Announcement): Promise<Answer> {
    const { changes, refusal } = derive(announcement, 'before');
    const isFirstHalf = bindingHalf(announcement) === 'first';
    const refused = refusal ?? options.stateless.refusal(announcement);
    if (refused !== undefined && !announcement.rollback) throw new Refusal('REFUSED', refused);
    let found: Found | undefined;
    if (!announcement.rollback) {
      if (checks.asks(announcement) || (changes.length > 0 && !isAnswered(announcement))) {
        found = await etcdAnswers(keysToRead(changes, settings)).catch(refuseWithoutEtcd);
        if (isFirstHalf) halves.set(announcement.id ?? '', { answeredMs: clock.steadyMs(), wasDown: wasDown(announcement), isFollowed: false });
      }
      await checks.before(announcement, options.sourceOf(peer)).catch(refuseWithoutEtcd);
    }
    // A port is announced after the commit with the same fields.
    if (changes.length === 0) return announcement.kind === 'port' ? { done: true } : {};
    try {
      journal.before(changes, announcement.marks);
    } catch (error) {
      throw new Refusal(
        'JOURNAL_UNWRITABLE',
        `calico-neutron-driver cannot write its journal (${(error as Error).message}), so nothing was changed; make room or give it the right to`,
        { cause: error },
      );
    }
    open.add(peer, announcement.marks, found);
    options.onJournal();
    return { ...(isFirstHalf && { halfway: true }), ...(found && announcement.kind === 'port' && { rows: true }) };
  }

  async function after(peer: Peer, announcement: Announcement): Promise<void> {
    const { changes, halfway = false } = derive(announcement, 'after');
    const found = open.end(announcement.marks);
    if (changes.length === 0) {
      journal.complete(announcement.marks);
      return;
    }
    if (halfway) {
      journal.add(changes, halfwayMs);
      journal.complete(announcement.marks);
      options.onJournal();
      return;
    }
    await checks.after(announcement, options.sourceOf(peer)).catch((error: unknown) => {
      journal.add(changes, halfwayMs); // Neutron removes the subnet now; whether that works or not, the subnet is checked later
      journal.complete(announcement.marks);
      options.onJournal();
      throw error instanceof Refusal ? error : refusalFor(error);
    });
    const looks = journal.after(changes, announcement.marks);
    const [later, direct] = [looks.filter((look) => look.change.kind === 'ports_of'), looks.filter((look) => look.change.kind !== 'ports_of')];
    journal.add(later.map((look) => look.change)); // there may be many of these, so they are not carried out while a user waits
    journal.done(later, []);
    try {
      const result = await sync(
        direct.map((look) => look.change),
        options.sourceOf(peer),
        clock.nowMs() + options.etcdTimeoutMs,
        found && { found, ...(announcement.rows !== undefined && { rows: parseRows(announcement.rows) }) },
      );
      succeeded(result);
      journal.add(result.followUps);
      journal.done(direct, result.wrote, result.unnamed);
      if (mayHaveOtherStatus(announcement)) statusMayDiffer(announcement, changes);
      if (announcement.kind === 'floatingip') floatingIpChanged(announcement);
    } catch (error) {
      journal.failed(direct);
      log.error(
        { err: error, kind: announcement.kind, id: announcement.id ?? '' },
        'a change of Neutron has not reached etcd; the journal keeps it and it is retried; see that etcd and the rows process run',
      );
      throw refusalFor(error);
    } finally {
      options.onJournal();
    }
  }

  function statusMayDiffer(announcement: Announcement, [change]: readonly Change[]): void {
    const id = announcement.id ?? '';
    // A port that was DOWN all the time has floating IPs that are DOWN.
    const stayedDown = halves.get(id)?.wasDown === true && wasDown(announcement) && announcement.current?.['status'] === 'DOWN';
    if (bindingHalf(announcement) === 'second' && stayedDown && change?.kind === 'port' && change.slots.length === 1) options.onBound(id, change.slots);
    else options.onPort(id);
    halves.delete(id);
  }

  function floatingIpChanged({ id, original, current }: Announcement): void {
    for (const port of floatingIpPorts(original, current)) options.onPort(port);
    if (id !== null && current && floatingIpPorts(current, null).length === 0) options.onFreeFloatingIp(id);
  }

  function succeeded(result: SyncResult): void {
    for (const warning of result.warnings) log.warn({ object: warning.object }, warning.what);
  }

  return {
    succeeded,
    before: (peer: Peer, params: unknown): Promise<Answer> => before(peer, parseAnnouncement(params)),
    after: (peer: Peer, params: unknown): Promise<void> => after(peer, parseAnnouncement(params)),
    /** Called when a connection is lost: what was announced on it may or may not have been committed. */
    gone(peer: Peer): void {
      const abandoned = open.abandon(peer);
      journal.abandon(abandoned);
      if (abandoned.length > 0) options.onJournal();
    },
  };
}

function refuseWithoutEtcd(error: unknown): never {
  if (!(error instanceof EtcdError)) throw error;
  throw new Refusal('ETCD_UNAVAILABLE', `${error.message}, so nothing was changed; see that etcd runs, can be reached and takes writes, then try again`, {
    cause: error,
  });
}

function refusalFor(error: unknown): Refusal {
  const noted = 'calico-neutron-driver keeps a note of it and retries';
  if (error instanceof EtcdError) return new Refusal('ETCD_UNAVAILABLE', `etcd does not have the change: ${error.message}; ${noted}`, { cause: error });
  if (error instanceof SyncError) return new Refusal('ETCD_UNAVAILABLE', `etcd does not have the change: ${error.message}; ${noted}`, { cause: error });
  if (error instanceof WireError) return new Refusal('INTERNAL', `Neutron's rows could not be read (${error.message}); ${noted}`, { cause: error });
  return new Refusal('INTERNAL', `${(error as Error).message}; ${noted}`, { cause: error });
}

/** Whether the port was DOWN before this change, or did not exist. */
const wasDown = ({ original }: Announcement): boolean => original === null || original['status'] === 'DOWN';

/** Whether a port's binding changed, its status without a report of Felix, or addresses on which the status of its floating IPs depends. */
function mayHaveOtherStatus({ kind, original, current }: Announcement): boolean {
  const fields = ['status', 'fixed_ips', 'binding:host_id', 'binding:vif_type', 'binding:profile', 'binding:vnic_type'];
  return kind === 'port' && original !== null && current !== null && fields.some((name) => !sameContent(original[name], current[name]));
}
