// Decides when Dnsmasq reads all its files again. Meanwhile it answers nobody; with a reload for each change it would get behind where many ports come, change and go.

/** How soon a reload is wanted. */
export type Urgency = 'later' | 'soon' | 'now';

/** When to reload, from what is wanted. */
export interface Reloads {
  /** Wants a reload at the next `settle` (`now`), then too but at most once a second (`soon`), or ten seconds later (`later`). Several are one, as soon as the most urgent. */
  want(urgency: Urgency): void;
  /** Whether a reload that was wanted `now` or `soon` is still to come. */
  readonly isBehind: boolean;
  /** Reloads if it is time. Returns after how many milliseconds to call it again; undefined when no reload is wanted. */
  settle(nowMs: number): number | undefined;
}

const [soonMs, laterMs] = [1000, 10_000] as const;

/** Nothing is wanted yet. `reload` is called for each reload. */
export function createReloads(reload: () => void): Reloads {
  const wanted = new Set<Urgency>();
  let isBehind = false;
  let atMs = Number.POSITIVE_INFINITY;
  let lastMs = Number.NEGATIVE_INFINITY;
  return {
    want(urgency) {
      wanted.add(urgency);
      if (urgency !== 'later') isBehind = true;
    },
    get isBehind() {
      return isBehind;
    },
    settle(nowMs) {
      const dueMs = { now: nowMs, soon: lastMs + soonMs, later: nowMs + laterMs };
      atMs = Math.min(atMs, ...[...wanted].map((urgency) => dueMs[urgency]));
      wanted.clear();
      if (nowMs < atMs) return Number.isFinite(atMs) ? atMs - nowMs : undefined;
      reload();
      [lastMs, atMs, isBehind] = [nowMs, Number.POSITIVE_INFINITY, false];
      return undefined;
    },
  };
}
