// A FollowListener that records what is reported to it and lets tests wait for it.
import type { Change, FollowListener, FollowState } from '../types.ts';

/** One call of `onChanges`. */
export type Told = { readonly changes: readonly Change[]; readonly revision: number; readonly isHistory: boolean };

/** What was recorded so far. */
export interface Recorder extends FollowListener {
  readonly batches: readonly Told[];
  readonly states: readonly FollowState[];
  readonly reasons: readonly (string | undefined)[];
  /** The keys that exist after all changes so far, with their values as text. */
  readonly held: ReadonlyMap<string, string>;
  /** Every change in order: `key=value`, or `key` for a deletion. */
  readonly lines: readonly string[];
  readonly inSyncs: number;
  /** The calls of `onUnreadable`: how many keys are not UTF-8, and an example. */
  readonly unreadable: readonly (readonly [number, string])[];
  /** Resolves as soon as the condition holds. It is checked now and after every event. */
  until(condition: (recorder: Recorder) => boolean): Promise<void>;
}

/** An empty recorder. */
export function recorder(): Recorder {
  const batches: Told[] = [];
  const states: FollowState[] = [];
  const reasons: (string | undefined)[] = [];
  const held = new Map<string, string>();
  const lines: string[] = [];
  const unreadable: [number, string][] = [];
  const waiting = new Set<() => void>();
  let inSyncs = 0;
  const told = (): void => {
    for (const look of waiting) look();
  };
  const self: Recorder = {
    batches,
    states,
    reasons,
    held,
    lines,
    unreadable,
    get inSyncs() {
      return inSyncs;
    },
    onChanges(changes, revision, isHistory) {
      batches.push({ changes, revision, isHistory });
      for (const { key, value } of changes) {
        const text = value && Buffer.from(value).toString();
        lines.push(text === undefined ? key : `${key}=${text}`);
        if (text === undefined) held.delete(key);
        else held.set(key, text);
      }
      told();
    },
    onInSync() {
      inSyncs += 1;
      told();
    },
    onUnreadable(keys, example) {
      unreadable.push([keys, example]);
      told();
    },
    onState(state, reason) {
      states.push(state);
      reasons.push(reason);
      told();
    },
    until: (condition) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!condition(self)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
  return self;
}
