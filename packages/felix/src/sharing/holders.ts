// Decides which port holds an address that several ports have as an allowed address pair: the one whose guest was the last to announce it, or else one whose guest answers when the host
// asks. Pure.
//
//                 an announcement, or an answer                 no answer, three times
//     nobody here ─────────────────────────────► held by a port ─────────────────────► nobody here
//     asks all, twice a second                   asks it, three times a second         another announcement: held by that port
import type { Cidr } from '@calico-openstack/addresses';
import { compareClaims, type WorkloadId } from '@calico-openstack/datamodel';

/** A question to a guest: does it have this address? */
export type Question = { readonly cidr: Cidr; readonly id: WorkloadId };

type Held = {
  /** The ports of this host that have the address as a pair, with the times of their creation in milliseconds since 1970. */
  readonly candidates: Map<WorkloadId, number>;
  holder: WorkloadId | undefined;
  /** Whether the holder was found by an answer in this round of questions. An older port that answers in the same round then takes its place. */
  byAnswer: boolean;
  /** How many questions in a row the holder has not answered, and whether one is still unanswered. */
  unanswered: number;
  open: boolean;
  nextMs: number;
  /** How many more times the address may change its holder now, and the time at which this was computed. */
  moves: number;
  countedMs: number;
  /** The port that gets the address when the limit of moves allows it. */
  next: WorkloadId | undefined;
};

/** The times between two questions. A holder that is gone is noticed within a second: after one interval and three missing answers. */
const [holderEveryMs, nobodyEveryMs, answerMs, mostUnanswered] = [300, 500, 200, 3] as const;
/** With more addresses than this, the questions for each become rarer, so that their total number does not grow any further. */
const addressesAtFullSpeed = 50;
/** When the host itself is late by more than this, no answer counts as missing. */
const lateMs = 100;
/** Questions that are due within this time of each other are sent together. */
const gridMs = 50;
/** An address changes its holder at most four times in a row, and then once in ten seconds, because each change costs a commit of rules and a review of all connections. */
const [mostMoves, moveEveryMs] = [4, 10_000] as const;

/** The holders of this host's shared addresses. */
export class AddressHolders {
  readonly #held = new Map<Cidr, Held>();
  readonly #addresses = new Map<WorkloadId, readonly Cidr[]>();
  #changed = false;

  /**
   * Sets the addresses that a port shares with others; none for a port that is gone.
   * @param hadBefore whether the port had an address when this process started. It keeps such an address until another guest announces it
   */
  set(id: WorkloadId, cidrs: readonly Cidr[], createdMs: number, hadBefore: (cidr: Cidr) => boolean, nowMs: number): void {
    const wanted = new Set(cidrs);
    for (const cidr of this.#addresses.get(id) ?? []) if (!wanted.has(cidr)) this.#leave(cidr, id, nowMs);
    for (const cidr of cidrs) this.#join(cidr, id, createdMs, hadBefore, nowMs);
    if (cidrs.length > 0) this.#addresses.set(id, cidrs);
    else this.#addresses.delete(id);
  }

  /** Notes that a guest has announced an address. */
  announced(cidr: Cidr, id: WorkloadId, nowMs: number): void {
    const held = this.#held.get(cidr);
    if (!held?.candidates.has(id)) return;
    if (held.holder === id) {
      held.next = undefined; // no other guest has announced it since
      this.#alive(held, nowMs);
    } else {
      held.next = id;
      this.#move(held, false, nowMs);
    }
  }

  /** Notes that a guest has answered that it has an address. */
  answered(cidr: Cidr, id: WorkloadId, nowMs: number): void {
    const held = this.#held.get(cidr);
    if (!held?.candidates.has(id)) return;
    if (held.holder === id) this.#alive(held, nowMs);
    else if (held.holder === undefined || (held.byAnswer && isOlder(held, id, held.holder))) {
      held.next = id;
      this.#move(held, true, nowMs);
    }
  }

  /** Counts missing answers, and returns the questions that are due. */
  take(nowMs: number): readonly Question[] {
    const questions: Question[] = [];
    for (const [cidr, held] of this.#held) {
      if (held.next !== undefined) this.#move(held, held.byAnswer, nowMs);
      if (nowMs >= held.nextMs) questions.push(...this.#ask(cidr, held, nowMs));
    }
    return questions;
  }

  /** After how many milliseconds `take` has something to do; undefined when there are no shared addresses. */
  restMs(nowMs: number): number | undefined {
    let earliestMs: number | undefined;
    for (const { nextMs, next, countedMs } of this.#held.values()) {
      const dueMs = next === undefined ? nextMs : Math.min(nextMs, countedMs + moveEveryMs);
      earliestMs = Math.min(earliestMs ?? dueMs, dueMs);
    }
    return earliestMs === undefined ? undefined : Math.max(0, earliestMs - nowMs);
  }

  /** Whether `takeChanged` would return anything. */
  get haveChanged(): boolean {
    return this.#changed;
  }

  /** The holders that have changed since the last call: the port that holds each address, or undefined when no port of this host does. */
  takeChanged(): ReadonlyMap<Cidr, WorkloadId | undefined> | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    return new Map([...this.#held].map(([cidr, { holder }]) => [cidr, holder]));
  }

  #join(cidr: Cidr, id: WorkloadId, createdMs: number, hadBefore: (cidr: Cidr) => boolean, nowMs: number): void {
    const known = this.#held.get(cidr);
    const held: Held = known ?? {
      candidates: new Map(),
      holder: undefined,
      byAnswer: true,
      unanswered: 0,
      open: false,
      nextMs: nowMs,
      moves: mostMoves,
      countedMs: nowMs,
      next: undefined,
    };
    if (!known) {
      this.#held.set(cidr, held);
      this.#changed = true;
    }
    if (held.candidates.has(id)) return;
    held.candidates.set(id, createdMs);
    if (held.holder === undefined) held.nextMs = nowMs;
    if (held.holder === undefined && hadBefore(cidr)) {
      held.holder = id;
      this.#changed = true;
    }
  }

  #leave(cidr: Cidr, id: WorkloadId, nowMs: number): void {
    const held = this.#held.get(cidr)!;
    held.candidates.delete(id);
    if (held.next === id) held.next = undefined;
    if (held.holder === id) this.#lose(held, nowMs);
    if (held.candidates.size > 0) return;
    this.#held.delete(cidr);
    this.#changed = true;
  }

  #ask(cidr: Cidr, held: Held, nowMs: number): readonly Question[] {
    const isLate = nowMs > held.nextMs + lateMs;
    if (held.holder !== undefined && held.open && !isLate) held.unanswered += 1;
    if (held.unanswered >= mostUnanswered) this.#lose(held, nowMs);
    held.open = held.holder !== undefined;
    held.byAnswer = held.holder === undefined;
    held.nextMs = onGrid(nowMs + (held.holder === undefined ? this.#stretched(nobodyEveryMs) : answerMs));
    return (held.holder === undefined ? [...held.candidates.keys()] : [held.holder]).map((id) => ({ cidr, id }));
  }

  #alive(held: Held, nowMs: number): void {
    if (!held.open) return;
    held.open = false;
    held.unanswered = 0;
    held.nextMs = onGrid(nowMs + this.#stretched(holderEveryMs));
  }

  #lose(held: Held, nowMs: number): void {
    held.holder = undefined;
    held.unanswered = 0;
    held.open = false;
    held.byAnswer = true;
    held.nextMs = nowMs;
    this.#changed = true;
  }

  /** Gives the address to the next holder if the limit of moves allows it. */
  #move(held: Held, byAnswer: boolean, nowMs: number): void {
    const gained = Math.floor((nowMs - held.countedMs) / moveEveryMs);
    held.moves = Math.min(mostMoves, held.moves + gained);
    held.countedMs = held.moves === mostMoves ? nowMs : held.countedMs + gained * moveEveryMs;
    if (held.moves === 0 || held.next === held.holder) return;
    held.moves -= 1;
    held.holder = held.next;
    held.next = undefined;
    held.byAnswer = byAnswer;
    held.unanswered = 0;
    held.open = false;
    held.nextMs = onGrid(nowMs + this.#stretched(holderEveryMs));
    this.#changed = true;
  }

  #stretched(ms: number): number {
    return ms * Math.max(1, this.#held.size / addressesAtFullSpeed);
  }
}

const onGrid = (ms: number): number => Math.ceil(ms / gridMs) * gridMs;

const isOlder = ({ candidates }: Held, one: WorkloadId, other: WorkloadId): boolean =>
  compareClaims({ kind: 'pair', createdMs: candidates.get(one)!, id: one }, { kind: 'pair', createdMs: candidates.get(other)!, id: other }) < 0;
