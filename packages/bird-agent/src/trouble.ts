// Reports trouble that stops all of the agent's work: when it starts or changes, and not at each attempt.

/** Keeps repeated trouble from being logged again. */
export interface TroubleTeller {
  /** Calls `say` unless the last trouble was the same. */
  tell(trouble: string, say: () => void): void;
  /** Ends the trouble, so that the same one is reported again when it comes back. */
  over(): void;
}

/** Creates a value that has reported no trouble yet. */
export function troubleTeller(): TroubleTeller {
  let last: string | undefined;
  return {
    tell(trouble, say) {
      if (trouble !== last) say();
      last = trouble;
    },
    over() {
      last = undefined;
    },
  };
}
